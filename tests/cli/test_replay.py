"""`caxton replay`, `caxton agent recordings`, and `caxton agent update --replay-last`, on a node that serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.protocol.ids import new_id
from caxton.protocol.recordings import read_carried, write_carried
from support.recorded_agents import busy, curious, remembers, warms_up
from support.served_node import SOURCE, ServedNode, alive, run_cli, until

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


def recorded(node: ServedNode, count: int, name: str = NAME) -> list[str] | None:
    items = node.json("agent", "recordings", name)
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


def test_a_message_is_enough_to_name_its_last_execution(node: ServedNode, executions: list[str]) -> None:
    sent = node.json("message", "send", NAME, "1")["message_id"]
    until(lambda: node.json("message", "show", sent)["state"] == "done", "it is handled")
    execution = node.json("message", "show", sent)["execution"]["id"]
    until(lambda: recorded(node, 4), "its recording")
    status, found = replayed(node, sent)
    assert (status, found["execution"], found["same"]) == (0, execution, True)
    assert execution in [one["id"] for one in node.json("agent", "executions", NAME)]
    assert replayed(node, new_id()) == (1, None)


def test_a_file_is_replayed_without_its_node(node: ServedNode, executions: list[str], tmp_path: Path) -> None:
    """Elsewhere: no node can be reached, the machine has other limits, its engine is another."""
    file = node.directory / "carried.rec"
    assert node.cli("replay", executions[0], "--save", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    carried = read_carried(file.read_bytes())
    older = msgspec.structs.replace(carried.recording, engine="1.2.3")
    file.write_bytes(write_carried(msgspec.structs.replace(carried, recording=older)))
    elsewhere = {
        "CAXTON_URL": "http://127.0.0.1:9",
        "CAXTON_COORDINATION__LOCAL_STATE_PATH": str(tmp_path / "local.db"),
        "CAXTON_RUNTIME__EXECUTION_TIMEOUT": "9s",
    }
    done = run_cli("replay", str(file), "--output", "json", env=elsewhere, timeout=120.0)
    found = msgspec.json.decode(done.stdout)
    assert (done.returncode, found["execution"], found["same"]) == (0, executions[0], True)
    engine, limit = found["remarks"]
    assert ("wasmtime 1.2.3" in engine, "execution_timeout_seconds" in limit) == (True, True)


def test_another_module_answers_otherwise(node: ServedNode, executions: list[str]) -> None:
    file = str(node.directory / "oldest.rec")
    assert node.cli("replay", executions[-1], "--save", file).returncode == 0
    other = node.write("twisted.wat", curious(asks=False, sends=False, twist=1))
    status, found = replayed(node, file, "--module", other)
    assert (status, [one["what"] for one in found["differences"]]) == (1, ["reply"])


def test_what_is_no_recording_is_said(node: ServedNode) -> None:
    broken = node.write("broken.rec", "caxton-recording\n???")
    for target in (broken, "0123456789ab-1", "nonsense"):
        assert replayed(node, target) == (1, None)


def test_an_update_that_is_interrupted_leaves_nothing(node: ServedNode, executions: list[str]) -> None:
    other = node.write("interrupted.wat", curious(asks=False, sends=False, twist=1))
    command = [sys.executable, "-m", "caxton", "agent", "update", NAME, other, "--replay-last", "500"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": "/nonexistent", **node.environ}
    environ["TMPDIR"] = str(node.directory)
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        below = {int(pid) for pid in until(lambda: children.read_text().split(), "its executor")}
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in said) == (130, False), said
    assert alive(below) == set()
    assert list(node.directory.glob("caxton-dev-*")) == []
    assert node.json("agent", "show", NAME)["version"] == 1


def test_an_update_shows_which_replies_would_change(node: ServedNode, executions: list[str]) -> None:
    """Of a warm instance, too: both sides begin with the same memory, so that the module alone decides."""
    same = node.write("same.wat", curious(asks=False, sends=False) + " ;; another file")
    other = node.write("other.wat", curious(asks=False, sends=False, twist=1))
    stopped = node.cli("agent", "update", NAME, other, "--replay-last", "2", timeout=120.0)
    assert (stopped.returncode, "2 of 2 executions would change" in stopped.stderr) == (1, True), stopped
    assert node.json("agent", "show", NAME)["version"] == 1
    poor = node.cli("agent", "update", NAME, "--limit", "fuel=10", "--replay-last", "2", timeout=120.0)
    assert (poor.returncode, poor.stdout.count("FUEL_EXHAUSTED")) == (1, 2), poor
    assert node.json("agent", "show", NAME)["version"] == 1
    limit = ("--limit", "fuel=1000000000")
    done = node.cli("agent", "update", NAME, same, *limit, "--replay-last", "3", timeout=120.0)
    assert (done.returncode, "version 2" in done.stderr) == (0, True), done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["seconds", "memory bytes", "fuel"]


def deployed(node: ServedNode, name: str, wat: str, *options: str) -> str:
    """A recorded agent without executions."""
    done = node.cli("agent", "deploy", node.write(f"{name}.wat", wat), "--name", name, "--record", *options)
    assert done.returncode == 0, done.stderr
    return name


def update(node: ServedNode, name: str, *arguments: str) -> tuple[int, bool, int]:
    """Exit status, whether it was stopped for a conflict, and the version afterwards."""
    done = node.cli("agent", "update", name, *arguments, timeout=120.0)
    return done.returncode, "CONFLICT" in done.stderr, node.json("agent", "show", name)["version"]


@pytest.mark.parametrize("agent", [remembers, warms_up])
def test_what_could_not_be_run_again_does_not_pass_as_the_same(node: ServedNode, agent: Callable[[str], str]) -> None:
    """Warm, it did not ask for what it asks first of all with a fresh memory, or did what it cannot do with one."""
    name = deployed(node, agent.__name__.replace("_", "-"), agent('"right"'))
    for content in ('"short"', *(f'"{number:04000d}"' for number in range(2))):
        node.json("agent", "invoke", name, content)
    until(lambda: recorded(node, 3, name), "its recordings")
    other = node.write("wrong.wat", agent('"wrong"'))
    assert update(node, name, other, "--replay-last", "2") == (1, True, 1)
    assert update(node, name, other, "--replay-last", "2", "--accept-changes") == (0, False, 2)


def test_a_replay_is_compared_with_what_the_update_would_make(node: ServedNode) -> None:
    """Not with the recorded version and what changes now: between them other versions may have come."""
    poor, rich = (("--limit", f"fuel={fuel}") for fuel in (20_000, 1_000_000))
    options = ("--profile", "deterministic", *rich)
    needs = node.write("needs.wat", busy(10_000))
    modest, needy = deployed(node, "modest", busy(1), *options), deployed(node, "needy", busy(10_000), *options)
    for name in (modest, needy):
        node.json("agent", "invoke", name, "1")
        until(lambda own=name: recorded(node, 1, own), "its recording")
    assert update(node, modest, needs) == (0, False, 2)
    assert update(node, modest, *poor, "--replay-last", "1") == (1, True, 2)  # another module ran
    assert update(node, modest, needs, *poor, "--replay-last", "1") == (1, True, 2)
    assert update(node, needy, *poor) == (0, False, 2)
    assert update(node, needy, "--env", "A=B", "--replay-last", "1") == (1, True, 2)
    assert update(node, needy, *rich, "--replay-last", "1") == (0, False, 3)
