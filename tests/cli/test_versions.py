"""`caxton agent update|rollback|rollout|versions`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.router_modules import BAD_INIT
from support.served_node import ServedNode
from support.versions import answering

NAME = "versioned"


@pytest.fixture
def files(node: ServedNode) -> Iterator[tuple[str, str]]:
    one, two = (node.write(f"{number}.wat", answering(number)) for number in (1, 2))
    assert node.cli("agent", "deploy", one, "--name", NAME, "--grant", "send=a,b", "--env", "K=V").returncode == 0
    yield one, two
    assert node.cli("agent", "remove", NAME, "--purge", "-y").returncode == 0


def asked(node: ServedNode) -> object:
    return node.json("agent", "invoke", NAME, "1")["content"]


def test_a_file_replaces_the_module_and_options_change_what_they_name(
    node: ServedNode, files: tuple[str, str]
) -> None:
    done = node.cli("agent", "update", NAME, files[1])
    assert (done.returncode, "version 2" in done.stderr) == (0, True)
    assert asked(node) == 2
    made = node.json("agent", "update", NAME, "--grant", "send=b", "--set", "depth=3", "--limit", "memory=2MiB")
    assert (made["version"], made["config"]["config"], made["config"]["env"]) == (3, {"depth": 3}, {"K": "V"})
    assert (made["grants"]["send"], made["limits"]["memory_bytes"]) == (["b"], 2_097_152)
    assert asked(node) == 2
    table = node.cli("agent", "versions", NAME)
    assert table.returncode == 0
    assert [line.split()[:2] for line in table.stdout.splitlines()[1:]] == [
        ["3", "current"],
        ["2", "kept"],
        ["1", "kept"],
    ]
    assert node.json("agent", "rollback", NAME)["version"] == 2
    back = node.json("agent", "rollback", NAME, "--version", "1")
    assert (back["version"], back["grants"]["send"], asked(node)) == (1, ["a", "b"], 1)


def test_a_canary_is_shown_and_ended(node: ServedNode, files: tuple[str, str]) -> None:
    canary = ("--strategy", "canary", "--percent", "100", "--duration", "1h")
    done = node.cli("agent", "update", NAME, files[1], *canary)
    assert (done.returncode, "canary: version 2 beside 1" in done.stderr) == (0, True)
    shown = node.json("agent", "rollout", NAME)
    assert (shown["state"], shown["canary"]["percent"], shown["canary"]["duration_seconds"]) == ("running", 100, 3600)
    assert "running" in node.cli("agent", "rollout", NAME).stdout
    assert node.json("agent", "rollout", NAME, "promote")["version"] == 2
    assert node.json("agent", "rollout", NAME)["state"] == "promoted"


def test_what_does_not_fit_is_said_and_changes_nothing(node: ServedNode, files: tuple[str, str]) -> None:
    assert node.cli("agent", "update", NAME, files[1], "--percent", "5").returncode == 2
    assert node.cli("agent", "update", NAME).returncode == 1
    assert node.cli("agent", "update", "nobody", files[1]).returncode == 1
    assert node.cli("agent", "rollback", NAME).returncode == 1
    assert node.cli("agent", "rollout", NAME, "abort").returncode == 1
    bad = node.write("bad.wat", BAD_INIT)
    done = node.cli("agent", "update", NAME, bad)
    assert (done.returncode, "AGENT_FAILED" in done.stderr) == (1, True)
    assert asked(node) == 1
