"""`caxton replay`, `caxton agent recordings`, and `caxton agent update --replay-last`, on a node that serves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.recorded_agents import curious
from support.served_node import ServedNode, until

NAME = "curious"


@pytest.fixture(scope="module")
def executions(node: ServedNode) -> list[str]:
    """Three recorded executions of one instance, newest first."""
    file = node.write("curious.wat", curious(asks=False, sends=False))
    done = node.cli("agent", "deploy", file, "--name", NAME, "--profile", "deterministic", "--state", "snapshot")
    assert done.returncode == 0, done.stderr
    for number in range(3):
        node.json("agent", "invoke", NAME, str(number))
    found: list[str] = until(lambda: recorded(node, 3), "three recordings")
    return found


def recorded(node: ServedNode, count: int) -> list[str] | None:
    items = node.json("agent", "recordings", NAME)
    return [item["execution"] for item in items] if len(items) == count else None


def replayed(node: ServedNode, *arguments: str) -> tuple[int, Any]:

    done = node.cli("replay", *arguments, "--output", "json", timeout=120.0)
    return done.returncode, msgspec.json.decode(done.stdout or "null")


def test_an_execution_is_replayed_and_does_nothing(node: ServedNode, executions: list[str]) -> None:
    before = node.json("agent", "show", NAME)["counters"]
    status, found = replayed(node, executions[0])
    assert (status, found["same"], found["differences"], found["fuel"][0] > 0) == (0, True, [], True)
    assert found["fuel"][0] == found["fuel"][1]
    assert node.json("agent", "show", NAME)["counters"] == before


def test_a_file_is_replayed_without_its_node(node: ServedNode, executions: list[str]) -> None:
    file = str(node.directory / "carried.rec")
    assert node.cli("replay", executions[-1], "--save", file).returncode == 0
    status, found = replayed(node, file)
    assert (status, found["execution"]) == (0, executions[-1])
    other = node.write("twisted.wat", curious(asks=False, sends=False, twist=1))
    status, found = replayed(node, file, "--module", other)
    assert (status, [one["what"] for one in found["differences"]]) == (1, ["reply"])


def test_what_is_no_recording_is_said(node: ServedNode) -> None:
    broken = node.write("broken.rec", "caxton-recording\n???")
    for target in (broken, "0123456789ab-1", "nonsense"):
        assert replayed(node, target) == (1, None)


def test_an_update_shows_which_replies_would_change(node: ServedNode, executions: list[str]) -> None:
    same = node.write("same.wat", curious(asks=False, sends=False) + " ;; another file")
    other = node.write("other.wat", curious(asks=False, sends=False, twist=1))
    stopped = node.cli("agent", "update", NAME, other, "--replay-last", "2", timeout=120.0)
    assert (stopped.returncode, "2 of 2 replies would change" in stopped.stderr) == (1, True), stopped
    assert node.json("agent", "show", NAME)["version"] == 1
    done = node.cli("agent", "update", NAME, same, "--replay-last", "2", timeout=120.0)
    assert (done.returncode, "version 2" in done.stderr) == (0, True), done.stderr
