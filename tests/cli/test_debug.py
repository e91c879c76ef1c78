"""`caxton debug`: of a running, a quarantined and a removed agent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from caxton.cli.debug_verb import read
from support.served_node import ServedNode, until


@pytest.fixture(scope="module")
def broken(node: ServedNode) -> str:
    """An agent that traps with a name in its backtrace, and is quarantined for it."""
    wat = """(module (memory (export "memory") 1)
     (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
     (func $culprit (unreachable))
     (func (export "handle_message") (param i32 i32) (result i32) (call $culprit) (i32.const 0)))"""
    config = {"record": True, "supervision": {"dead_letters": 1, "senders": 1}, "env": {"API_TOKEN": "sesame"}}
    file, options = node.write("broken.wat", wat), node.write("broken.json", msgspec.json.encode(config).decode())
    assert node.cli("agent", "deploy", file, "--config-file", options).returncode == 0
    assert node.cli("message", "send", "broken", "1").returncode == 0
    until(lambda: node.json("agent", "show", "broken")["status"] == "quarantined", "quarantine")
    return "broken"


def collected(node: ServedNode, agent: str) -> Path:
    file = node.directory / f"{agent}.tar.gz"
    done = node.cli("debug", "--agent-id", agent, "--to", str(file))
    assert done.returncode == 0, done.stderr
    return file


def test_of_a_running_agent_by_its_id(node: ServedNode, echo: str) -> None:
    node.json("agent", "invoke", echo, "1")
    file = node.directory / "running.tar.gz"
    agent_id = node.json("agent", "show", echo)["agent_id"]
    assert node.cli("debug", "--agent-id", agent_id, "--to", str(file)).returncode == 0
    manifest, parts = read(file)
    assert (manifest.agent, msgspec.json.decode(parts["agent.json"])["status"]) == (echo, "running")
    assert {"versions.json", "mailbox.json", "executions.json", "ledger.json", "keys.json", "log.json"} < set(parts)


def test_of_a_quarantined_agent_with_its_trap_and_no_secret(node: ServedNode, broken: str) -> None:
    file = collected(node, broken)
    parts = read(file)[1]
    assert not [name for name, data in parts.items() if b"sesame" in data]
    shown = node.cli("debug", "open", str(file)).stdout
    assert ("quarantined" in shown, "culprit" in shown) == (True, True)


def test_of_an_agent_that_is_gone_what_it_left(node: ServedNode, broken: str) -> None:
    assert node.cli("agent", "remove", broken, "-y").returncode == 0
    manifest, parts = read(collected(node, broken))
    assert "agent.json" in manifest.missing
    assert len(msgspec.json.decode(parts["dead_letters.json"])["items"]) == 1


def test_what_is_no_archive_is_refused(node: ServedNode) -> None:
    assert node.cli("debug", "open", node.write("no.tar.gz", "nothing")).returncode == 1
    assert node.cli("debug").returncode == 2
