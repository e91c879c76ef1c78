"""Backups of nodes that run, restored into nodes that run: agents answer, what was pending goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from wasmtime import wat2wasm

from caxton.backup import probe
from caxton.protocol.errors import Code
from caxton.protocol.operations import Listing, Named, Submit
from support import snapshot_agents
from support.desk_node import RouterNode, deploy, invoke, message, refusal, submit, until
from support.node import running_node
from support.router_agents import PICKY
from support.router_client import RouterClient
from support.served_node import ECHO, TRAP, ServedNode, run_cli

WAITS = 7


@pytest.fixture
def node() -> Iterator[RouterNode]:
    directory = tempfile.mkdtemp(prefix="cxb", dir="/tmp")
    with RouterNode(backup={"directory": directory}) as made:
        yield made
    shutil.rmtree(directory)


def cli(node: RouterNode, *arguments: str, code: int = 0) -> Any:
    """One verb on the node's host: its JSON, or its complaint when `code` is not 0."""
    done = run_cli("--config", str(node.config), *arguments, "--output", "json", timeout=110)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def directory_of(node: RouterNode) -> Path:
    return Path(node.config.read_text().split('directory = "')[1].split('"')[0])


def furnish(node: RouterNode) -> list[str]:
    """Two agents; some messages done, and `WAITS` that wait because the node is paused."""
    with node.client() as client:
        deploy(client, "echo", ECHO)
        deploy(client, "other", ECHO)
        done = submit(client, "echo", 20)
        until(lambda: client.call("message.get", Named(done[-1]))["state"] == "done")
        client.call("node.pause")
        return submit(client, "other", WAITS)


def test_a_restored_agent_goes_on_from_the_memory_that_its_backup_holds(node: RouterNode) -> None:
    with node.client() as client:
        deploy(client, "count", snapshot_agents.COUNTER, state="snapshot")
        assert [invoke(client, "count")["content"] for _ in range(3)] == [1, 2, 3]
        cli(node, "backup", "state")
        assert invoke(client, "count")["content"] == 4  # gone with the machine
    node.kill_router()
    shutil.rmtree(node.data)
    cli(node, "restore", "latest", "--yes")
    node.start_router()
    with node.client() as client:
        assert invoke(client, "count")["content"] == 4
        resources = client.call("agent.get", Named("count"))["resources"]
        assert (resources["incarnation"], resources["wakes"]) == (1, 1)


def test_a_node_on_a_machine_without_anything_goes_on_where_the_other_was(node: RouterNode) -> None:
    waiting = furnish(node)
    made = cli(node, "backup", "state")
    with node.client() as client:
        submit(client, "echo", 30)  # after the backup: gone with the machine
    node.kill_router()
    shutil.rmtree(node.data)  # modules and all
    restored = cli(node, "restore", "latest", "--yes")
    assert restored["file"] == made["file"]
    assert restored["agents"] == {"echo": "running", "other": "running"}
    assert [(one["agent"], sorted(one["message_ids"])) for one in restored["pending"]] == [("other", sorted(waiting))]
    node.start_router()
    with node.client() as client:
        assert invoke(client, "echo", b'"hello"')["content"]["content"] == "hello"
        states = {client.call("message.get", Named(one))["state"] for one in waiting}
        until(lambda: {client.call("message.get", Named(one))["state"] for one in waiting} == {"done"})
        assert states <= {"pending", "in_flight", "done"}
        assert len(client.call("message.list", Listing(limit=200))["items"]) == 20 + WAITS
        assert client.call("ledger")["node"]["imbalance"] == 0


def test_a_restore_over_a_node_that_was_killed_undoes_what_came_after(node: RouterNode) -> None:
    furnish(node)
    cli(node, "backup", "state")
    with node.client() as client:
        deploy(client, "late", TRAP)
        late = submit(client, "echo", 50)
    node.kill_router()
    assert (node.data / "local.db-wal").stat().st_size > 0
    before = cli(node, "restore", "latest", "--yes")["before"]
    assert (Path(before) / "local.db").exists()
    (node.data / "paused").unlink(missing_ok=True)  # the pause of `furnish` may outlive a router
    node.start_router()
    with node.client() as client:
        assert refusal(client, "message.get", Named(late[0])).code is Code.MESSAGE_NOT_FOUND
        assert refusal(client, "agent.get", Named("late")).code is Code.AGENT_NOT_FOUND
        assert invoke(client, "echo", b"1")["content"]["content"] == 1


def test_restored_paused_nothing_runs_until_somebody_says_so(node: RouterNode) -> None:
    waiting = furnish(node)
    cli(node, "backup", "state")
    node.kill_router()
    shutil.rmtree(node.data)
    assert cli(node, "restore", "latest", "--yes", "--paused")["paused"]
    node.start_router(ready=False)
    client = until(lambda: connected(node))
    with client:
        until(lambda: client.call("ready")["reasons"] == ["paused"])  # the executor is there
        deploy(client, "new", ECHO)
        assert {client.call("message.get", Named(one))["state"] for one in waiting} == {"pending"}
        client.call("node.resume")
        until(lambda: {client.call("message.get", Named(one))["state"] for one in waiting} == {"done"})
    assert not (node.data / "paused").exists()


def connected(node: RouterNode) -> RouterClient | None:
    try:
        return node.client()
    except OSError:
        return None


def test_not_while_the_node_runs(node: RouterNode) -> None:
    furnish(node)
    cli(node, "backup", "state")
    assert node.router is not None
    complaint = cli(node, "restore", "latest", "--yes", code=1)
    assert Code.CONFLICT in complaint
    assert str(node.router.pid) in complaint
    with node.client() as client:
        assert client.call("ready")["reasons"] == ["paused"]
    assert not (node.data / "maintenance").exists()


def test_not_while_serve_could_start_a_router() -> None:
    served = ServedNode()
    try:
        served.start()
        assert served.cli("backup", "state", "--directory", str(served.directory / "b")).returncode == 0
        os.kill(next(pid for name, pid in served.children().items() if "router" in name), signal.SIGSTOP)
        refused = served.cli("restore", "latest", "--yes", "--directory", str(served.directory / "b"))
        assert (refused.returncode, Code.CONFLICT in refused.stderr) == (1, True)
        assert str(served.process.pid if served.process else 0) in refused.stderr
    finally:
        for pid in served.children().values():
            os.kill(pid, signal.SIGCONT)
        served.close()


def test_nobody_is_asked_where_nobody_is(node: RouterNode) -> None:
    furnish(node)
    cli(node, "backup", "state")
    cli(node, "restore", "latest", code=2)
    cli(node, "backup", "verify", code=2)
    cli(node, "restore", "state_20000101_000000.db.gz", "--yes", code=1)


def test_the_drill_proves_it_and_touches_nothing(node: RouterNode) -> None:
    waiting = furnish(node)
    cli(node, "backup", "state")
    found = cli(node, "backup", "drill")
    assert (found["agents"], len(found["proof"])) == (2, 32)
    status = json.loads((directory_of(node) / "status.json").read_text())
    assert status["drill_succeeded"] == status["drill"]
    assert status["drill"]["proof"] == found["proof"]
    assert {path.name for path in directory_of(node).iterdir() if path.is_dir()} == set()
    with node.client() as client:
        assert {client.call("message.get", Named(one))["state"] for one in waiting} == {"pending"}


def test_the_drill_lets_no_quarantined_agent_take_a_message(node: RouterNode) -> None:
    with node.client() as client:
        budget = {"dead_letters": 1, "senders": 1, "pause_seconds": 1.0}
        deploy(client, "picky", PICKY, supervision=budget, retry={"max_deliveries": 1})
        client.call("submit", Submit([message("picky", b'"!"')]))
        until(lambda: client.call("agent.get", Named("picky"))["status"] == "quarantined")
        client.call("node.pause")
        waiting = message("picky")
        client.call("submit", Submit([waiting]))
        cli(node, "backup", "state")
        assert len(cli(node, "backup", "drill")["proof"]) == 32
        client.call("node.resume")
        until(lambda: client.call("message.get", Named(waiting.message_id))["state"] == "done")


def test_drills_that_must_fail(node: RouterNode) -> None:
    assert Code.RESTORE_FAILED in cli(node, "backup", "drill", code=1)  # there is nothing to restore
    furnish(node)
    made = Path(cli(node, "backup", "state")["file"])
    data = made.read_bytes()
    made.write_bytes(data[:400] + bytes([data[400] ^ 1]) + data[401:])
    assert Code.BACKUP_INVALID in cli(node, "backup", "drill", code=1)
    cli(node, "backup", "verify", "latest", code=1)
    assert Code.RESTORE_FAILED in cli(node, "backup", "drill", code=1)  # there is none that holds
    made.write_bytes(data)
    cli(node, "backup", "verify", "--all")
    first = cli(node, "backup", "drill")
    node.kill_router()
    break_agent(node, "other")
    cli(node, "backup", "state")
    assert Code.RESTORE_FAILED in cli(node, "backup", "drill", code=1)
    status = json.loads((directory_of(node) / "status.json").read_text())
    assert status["drill"]["code"] == Code.RESTORE_FAILED
    assert "other" in status["drill"]["reason"]
    assert status["drill_succeeded"]["proof"] == first["proof"]


def break_agent(node: RouterNode, name: str) -> None:
    """Its module is one that no executor takes: the backup is whole, and the agent cannot run."""
    import hashlib

    module = b"\0asm\1\0\0\0 and then nothing of sense"
    digest = hashlib.sha256(module).hexdigest()
    (node.data / "modules" / digest).write_bytes(module)
    connection = sqlite3.connect(node.data / "local.db")
    document = json.loads(connection.execute("SELECT document FROM agent WHERE name = ?", (name,)).fetchone()[0])
    document["module"]["sha256"] = digest
    connection.execute("UPDATE agent SET document = ? WHERE name = ?", (json.dumps(document).encode(), name))
    connection.commit()
    connection.close()


def test_the_probe_is_what_its_text_says() -> None:
    assert bytes(wat2wasm(probe.TEXT)) == probe.MODULE


def test_metrics_and_the_list(tmp_path: Path) -> None:
    names = [
        "backup_last_verified_timestamp_seconds",
        "backup_last_duration_seconds",
        "backup_last_size_bytes",
        "restore_drill_seconds",
        "restore_drill_last_success_timestamp_seconds",
    ]
    with running_node(backup={"directory": str(tmp_path)}, runtime={"executor_workers": 1}) as node:

        def figures() -> list[float]:
            lines = httpx.get(f"{node.metrics_url}/metrics").text.splitlines()
            found = dict(line.split(" ") for line in lines if line.startswith("caxton_") and line.count(" ") == 1)
            return [float(found[f"caxton_{name}"]) for name in names]

        assert figures() == [0.0] * 5
        for verb in ("state", "config", "drill"):
            done = run_cli("--config", str(node.config_file), "backup", verb)
            assert done.returncode == 0, done.stderr
        assert all(figures())
        (tmp_path / "status.json").write_text("no JSON")
        assert figures() == [0.0] * 5
        node.kill_everything()
    listed = run_cli("--config", "/dev/null", "backup", "list", "--directory", str(tmp_path), "--output", "json")
    assert {one["kind"] for one in json.loads(listed.stdout)} == {"state", "config"}
