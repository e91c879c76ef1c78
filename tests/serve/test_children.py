from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from typing import Any

from support.served_node import ServedNode, alive, until


def deploy(node: ServedNode) -> None:
    done = node.cli("agent", "deploy", str(node.directory / "echo.wat"))
    assert done.returncode == 0, done.stderr


def post(node: ServedNode, path: str, body: Any) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{node.url}/api/v1{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def answers(node: ServedNode) -> bool:
    try:
        return post(node, "/agents/echo/invoke", {"content": 1, "timeout_seconds": 5})["performative"] == "inform"
    except OSError:
        return False


def test_every_child_that_is_killed_comes_back_and_nothing_accepted_is_lost(make_node) -> None:
    node = make_node().start()
    deploy(node)
    accepted: list[str] = []
    enough = threading.Event()

    def load() -> None:
        while not enough.wait(0.05):
            try:
                items = post(node, "/messages", [{"performative": "inform", "receiver": "echo", "content": 1}] * 5)
                accepted.extend(item["message_id"] for item in items["items"] if "error" not in item)
            except OSError:
                continue

    sender = threading.Thread(target=load)
    sender.start()
    try:
        for name in ("caxton.executor", "caxton.router", "caxton.api --admin", "caxton.api"):
            pid = until(lambda name=name: node.children().get(name), f"{name} runs")
            known = len(accepted)
            os.kill(pid, signal.SIGKILL)
            until(lambda name=name, pid=pid: node.children().get(name) not in (None, pid), f"{name} is back")
            until(lambda: answers(node), f"the node answers after the death of {name}", 60)
            until(lambda known=known: len(accepted) > known, f"messages are accepted after the death of {name}")
    finally:
        enough.set()
        sender.join()
    until(lambda: node.json("ledger")["node"]["pending"] == 0, "everything is handled", 60)
    ledger = node.json("ledger")["node"]
    assert (ledger["imbalance"], ledger["dead"]) == (0, 0)
    assert ledger["accepted"] >= len(accepted) > 0
    states = {node_state(node, message_id) for message_id in accepted}
    assert states == {"done"}


def node_state(node: ServedNode, message_id: str) -> str:
    with urllib.request.urlopen(f"{node.url}/api/v1/messages/{message_id}", timeout=10) as response:
        return json.load(response)["state"]


def test_sigterm_ends_all_in_order_and_what_was_deployed_is_there_again(make_node) -> None:
    node = make_node().start()
    deploy(node)
    everything = node.descendants()
    assert len(everything) >= 5
    assert node.stop(signal.SIGTERM) == 0
    assert not alive(everything)
    node.start()
    assert answers(node)
    everything = node.descendants()
    assert node.stop(signal.SIGINT) == 0
    assert not alive(everything)


def test_kill_9_of_the_parent_leaves_no_orphans_and_the_next_start_works(make_node) -> None:
    node = make_node().start()
    deploy(node)
    everything = node.descendants()
    node.stop(signal.SIGKILL)
    until(lambda: not alive(everything), "no process of the node is left")
    node.start()
    assert answers(node)


def test_sighup_applies_what_can_change_and_names_what_cannot(make_node) -> None:
    node = make_node(CAXTON_OBSERVABILITY__LOG_FORMAT="json")
    file = node.write("node.toml", "[security]\nauth_enabled = false\n[runtime]\nmax_agents = 5\n")
    node.start("--config", file)
    before = node.children()
    text = (
        '[security]\nauth_enabled = false\n[observability]\nlog_level = "debug"\n[messaging]\ncommit_window = "5ms"\n'
    )
    deploy(node)
    text += 'max_message_size = "1kB"\n[runtime]\nmax_agents = 1\n'
    node.write("node.toml", text)
    node.process.send_signal(signal.SIGHUP)
    until(lambda: '"configuration read again"' in node.log, "the configuration is read again")
    line = next(json.loads(line) for line in node.log.splitlines() if '"configuration read again"' in line)
    assert line["applied"] == ["runtime.max_agents", "messaging.max_message_size", "observability.log_level"]
    assert line["restart"] == ["messaging.commit_window"]
    deploying = ("agent", "deploy", str(node.directory / "echo.wat"), "--name", "second")
    until(lambda: "RESOURCE_LIMIT_EXCEEDED" in node.cli(*deploying).stderr, "the router takes the new limit")
    sending = ("message", "send", "echo", "x" * 2000)
    until(lambda: "PAYLOAD_TOO_LARGE" in node.cli(*sending).stderr, "the API takes the new limit")
    assert node.children() == before
    node.write("node.toml", "[runtime]\nmax_agents = 0\n")
    node.process.send_signal(signal.SIGHUP)
    until(lambda: "reload refused" in node.log, "the broken configuration is refused")
    assert answers(node)
    assert node.children() == before


def test_a_child_that_cannot_start_ends_the_command_with_a_reason(make_node) -> None:
    node = make_node()
    (node.directory / "data" / "local.db").mkdir(parents=True)  # no router opens a directory as its database
    node.launch()
    until(lambda: node.process.poll() is not None, "serve gives up", 90)
    assert node.process.returncode == 1
    assert "[NOT_READY]" in node.log
    assert "Traceback (most recent call last)" not in node.log.rpartition("NOT_READY")[2]
