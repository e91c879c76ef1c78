"""The router as a process: a disk that fails, a reload, many agents at its start, the service manager."""

from __future__ import annotations

import os
import resource
import signal
import time

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Listing, Named, Submit
from support.desk_node import RouterNode, deploy, invoke, message, submit, until
from support.manager import listening
from support.router_client import RouterClient
from support.router_modules import ECHO, SLEEPER


def refusal(client: RouterClient, call: int) -> str | None:
    """The code by which a submission was refused, as a whole or as an item; None when the router was gone."""
    try:
        (item,) = client.answer(call)
    except CaxtonError as error:
        return error.code
    except EOFError:
        return None
    return str(item["error"]["code"])


def test_a_commit_that_fails_ends_the_router_and_what_was_accepted_is_there_again() -> None:
    with RouterNode() as node:
        with node.client() as client:
            deploy(client, "sleeper", SLEEPER)
            client.call("node.pause")
            kept = submit(client, "sleeper", 3)
            assert node.router is not None
            resource.prlimit(node.router.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            large = b'"%s"' % (b"x" * 50_000)
            refused = [client.send("submit", Submit([message("sleeper", large)])) for _ in range(3)]
            for call in refused:
                assert refusal(client, call) in (None, Code.STORAGE_FULL, Code.INTERNAL_ERROR, Code.NOT_READY)
        assert node.router.wait(20) == 70
        node.start_router(ready=False)
        with until(node.connected) as client:
            client.call("node.resume")
            until(lambda: client.call("agent.get", Named("sleeper"))["counters"]["done"] == 3)
            assert {client.call("message.get", Named(message_id))["state"] for message_id in kept} == {"done"}
            ledger = client.call("ledger")["node"]
            assert (ledger["accepted"], ledger["imbalance"]) == (3, 0)


def test_a_reload_applies_what_it_can_and_a_bad_file_changes_nothing() -> None:
    with RouterNode(messaging={"low_disk_bytes": "1MB", "mailbox_size": 10}) as node, node.client() as client:
        deploy(client, "echo", ECHO)
        assert node.router is not None
        text = node.config.read_text()
        assert "mailbox_size = 10" in text
        node.config.write_text("nonsense [")
        node.router.send_signal(signal.SIGHUP)
        until(lambda: "reload refused" in node.log)
        assert invoke(client, "echo")["performative"] == "inform"
        node.config.write_text(text.replace("mailbox_size = 10", "mailbox_size = 1"))
        node.router.send_signal(signal.SIGHUP)
        until(lambda: "messaging.mailbox_size" in node.log)
        client.call("node.pause")
        items = client.call("submit", Submit([message("echo") for _ in range(3)]))
        assert [item.get("error", {}).get("code") for item in items] == [None, Code.MAILBOX_FULL, Code.MAILBOX_FULL]


def test_a_node_with_many_agents_is_ready_before_they_are() -> None:
    count = 300
    with RouterNode() as node:
        with node.client(timeout=110) as client:
            for number in range(count):
                deploy(client, f"agent-{number}", ECHO)
        node.kill_router()
        started = time.monotonic()
        node.start_router()
        took = time.monotonic() - started
        print(f"ready after {took:.2f} s with {count} agents")
        assert took < 10
        with node.client() as client:
            assert invoke(client, f"agent-{count - 1}")["performative"] == "inform"
            assert client.call("stats")["agents"]["running"] == count
            assert len(client.call("agent.list", Listing(limit=200))["items"]) == 200


def test_the_service_manager_hears_ready_and_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    node = RouterNode()
    with listening() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        try:
            node.start_router(ready=False)
            manager.hear_until("READY=1".__eq__)
            assert "WATCHDOG=1" not in manager.heard
            manager.hear_until("WATCHDOG=1".__eq__)
            assert any(said.startswith("STATUS=not ready: executor;") for said in manager.heard)
            assert node.stop_router() == 0
            manager.hear_until("STOPPING=1".__eq__)
        finally:
            node.close()


def test_files_of_the_node_are_not_for_others() -> None:
    with RouterNode() as node:
        modes = {path: path.stat().st_mode & 0o007 for path in node.data.rglob("*")}
        assert not any(modes.values()), modes
        assert os.stat(node.directory / "run" / "router.sock").st_mode & 0o777 == 0o660
