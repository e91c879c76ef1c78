"""`caxton drain`, `undrain`, `pause`, `resume`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from support.served_node import ECHO, ServedNode, run_cli, until

LOOP = ECHO.replace("(i32.const 0)))", "(loop (br 0)) (i32.const 0)))")


def reasons(node: ServedNode) -> list[str]:
    try:
        with urllib.request.urlopen(f"{node.url}/ready", timeout=10):
            return []
    except urllib.error.HTTPError as error:
        return list(json.load(error)["reasons"])


@pytest.fixture(autouse=True)
def open_again(node: ServedNode) -> Iterator[None]:
    yield
    assert node.cli("undrain").returncode == node.cli("resume").returncode == 0


def test_a_quiet_node_drains_at_once(node: ServedNode, echo: str) -> None:
    assert node.cli("drain").returncode == 0
    assert reasons(node) == ["draining"]
    refused = node.cli("agent", "invoke", echo, "1")
    assert refused.returncode == 1
    assert "DRAINING" in refused.stderr
    assert json.loads(node.cli("drain", "--output", "json").stdout) == {"drained": True, "running": []}
    assert node.cli("undrain").returncode == 0
    assert reasons(node) == []
    assert node.cli("agent", "invoke", echo, "1").returncode == 0


def test_what_did_not_end_is_printed_and_exit_is_1(node: ServedNode) -> None:
    file = node.write("loop.wat", LOOP)
    assert node.cli("agent", "deploy", file, "--limit", "execution_timeout=25s").returncode == 0
    sent = json.loads(node.cli("message", "send", "loop", "1", "--output", "json").stdout)
    until(lambda: "in_flight" in node.cli("message", "show", sent["message_id"]).stdout, "it runs")
    drained = node.cli("drain", "--wait", "0.2s")
    assert drained.returncode == 1
    assert sent["message_id"] in drained.stdout
    assert node.cli("message", "cancel", sent["message_id"]).returncode == 0


def test_pausing(node: ServedNode) -> None:
    assert node.cli("pause").returncode == 0
    assert reasons(node) == ["paused"]
    assert node.cli("resume").returncode == 0
    assert reasons(node) == []


@pytest.mark.parametrize("verb", ["drain", "undrain", "pause", "resume"])
def test_without_a_node_nothing_is_reached(verb: str) -> None:
    assert run_cli(verb, env={"CAXTON_RUN_DIR": "/tmp/none"}).returncode == 3
