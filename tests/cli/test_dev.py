"""`caxton dev`: an agent on a real executor of the command's own, without a node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caxton.selftest.modules import KEY_A_MESSAGE
from caxton.selftest.wat import reactor
from support.served_node import ECHO, SOURCE, ServedNode, run_cli, until
from support.snapshot_agents import COUNTER, counter_and
from support.wat import CAT, EXIT_3, LOGGER, LOOP, TALLY, TRAP

ASK = reactor(
    "(call $answer (call $request (i32.const 100) (i32.const 41) (i32.const 500) (i32.const 100)))",
    extra='(data (i32.const 100) "{\\22performative\\22:\\22request\\22,\\22receiver\\22:\\22b\\22}")',
)
SEND = ASK.replace("(call $answer (call $request (i32.const 100) (i32.const 41) (i32.const 500) (i32.const 100)))",
                   "(call $send (i32.const 100) (i32.const 41))")  # fmt: skip
STUCK = """(module (memory (export "memory") 1 1 shared)
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
 (func (export "handle_message") (param i32 i32) (result i32)
  (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"""


class Desk:
    """Runs the verb in a directory of its own; nothing may be left there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.temporary = home / "tmp"
        self.temporary.mkdir()
        self.environ = {"TMPDIR": str(self.temporary)}
        self.running: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str) -> str:
        path = self.home / name
        path.write_text(text)
        return str(path)

    def run(self, wat: str, stdin: str, *options: str, code: int = 0) -> list[dict[str, Any]]:
        """The reports of one run; the first line, about the agent, is left out."""
        agent = self.write("agent.wat", wat)
        done = run_cli("dev", "run", agent, "--output", "json", *options, env=self.environ, stdin=stdin)
        assert done.returncode == code, done.stderr
        assert list(self.temporary.iterdir()) == []
        return [json.loads(line) for line in done.stdout.splitlines()][1:]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for process in desk.running:
        process.kill()
        process.wait()


def test_a_line_is_a_message_and_its_content_json_or_text(desk: Desk) -> None:
    reports = desk.run(ECHO, '{"a": [1]}\n\n  7  \nhello world\n')
    assert [report["content"]["content"] for report in reports] == [{"a": [1]}, 7, "hello world"]
    assert {report["ended"] for report in reports} == {"inform"}


def test_memory_with_snapshots_lasts_as_long_as_the_command(desk: Desk) -> None:
    config = desk.write("agent.toml", 'state = "snapshot"')
    reports = desk.run(COUNTER, "1\n1\n1\n", "--config-file", config)
    assert [report["content"] for report in reports] == [1, 2, 3]
    forgetful = counter_and("(data.drop 0)").replace("(memory", '(data "x") (memory', 1)
    desk.run(forgetful, "1\n", "--config-file", config, code=1)


def test_a_command_gets_all_of_stdin_as_one_text(desk: Desk) -> None:
    (report,) = desk.run(CAT, "one\ntwo\n", "--as", "text")
    assert report["content"] == "one\ntwo\n"
    assert report["usage"]["output_bytes"] == 8


def test_a_line_may_be_a_whole_message(desk: Desk) -> None:
    line = json.dumps({"content": 1, "performative": "query-if", "conversation_id": "c-7"})
    (report,) = desk.run(ECHO, line, "--as", "message")
    assert (report["content"]["performative"], report["content"]["conversation_id"]) == ("query_if", "c-7")


def test_keys_last_as_long_as_the_run(desk: Desk) -> None:
    for _ in range(2):
        reports = desk.run(TALLY, "1\n1\n1\n")
        assert [(report["content"], report["stored"]) for report in reports] == [(n, {"n": 4}) for n in (1, 2, 3)]


def test_costs_stand_beside_the_limits(desk: Desk) -> None:
    agent = desk.write("agent.wat", LOGGER)
    done = run_cli("dev", "run", agent, "--limit", "memory=2MB", env=desk.environ, stdin="1\n")
    assert done.returncode == 0
    assert "log  hello" in done.stdout
    header, limits, first = (line.split() for line in done.stdout.splitlines()[-3:])
    assert header[:5] == ["MESSAGE", "ENDED", "WALL", "CPU", "FUEL"]
    assert (limits[0], first[:2]) == ("limit", ["1", "handled"])
    assert "2 MB" in done.stdout


def test_fuel_is_the_node_s(desk: Desk, node: ServedNode) -> None:
    (report,) = desk.run(ECHO, "5\n", "--profile", "deterministic")
    file = str(node.directory / "echo.wat")
    assert node.cli("agent", "deploy", file, "--name", "fuelled", "--profile", "deterministic").returncode == 0
    execution = node.json("agent", "invoke", "fuelled", "5")["execution"]
    assert report["usage"]["fuel"] == execution["fuel"] > 0


@pytest.mark.parametrize(
    ("wat", "options", "ended"),
    [
        (TRAP, [], "AGENT_FAILED"),
        (EXIT_3, [], "failure"),
        (LOOP, ["--limit", "execution_timeout=0.2s"], "EXECUTION_TIMEOUT"),
        (LOOP, ["--profile", "deterministic", "--limit", "fuel=1000"], "FUEL_EXHAUSTED"),
    ],
)
def test_a_message_that_fails_is_said_and_the_next_one_runs(
    desk: Desk, wat: str, options: list[str], ended: str
) -> None:
    reports = desk.run(wat, "1\n2\n", *options, code=1)
    assert [(report["ended"], report["failed"]) for report in reports] == [(ended, True)] * 2


def test_all_keys_together_are_limited(desk: Desk) -> None:
    reports = desk.run(KEY_A_MESSAGE, "1\n2\n3\n", "--limit", "state=1000", code=1)
    assert [report["ended"] for report in reports] == ["inform", "inform", "failure"]
    assert "RESOURCE_LIMIT_EXCEEDED" in reports[2]["detail"]


def test_a_guest_that_holds_its_worker_is_killed_as_on_a_node(desk: Desk) -> None:
    node = desk.write("node.toml", '[runtime]\nwasm_features = ["threads"]\n')
    options = ["--file", node, "--profile", "threads", "--limit", "execution_timeout=0.1s"]
    reports = desk.run(STUCK, "1\n2\n", *options, code=1)
    assert [report["ended"] for report in reports] == ["EXECUTION_TIMEOUT"] * 2


def test_memory_with_snapshots_survives_a_trap(desk: Desk) -> None:
    """What counts in memory traps when it has counted to two: a fresh instance goes on from one, or from nothing."""
    counting = reactor(
        """(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
         (if (i32.eq (i32.load (i32.const 0)) (i32.const 2)) (then (unreachable)))
         (call $answer (i32.load (i32.const 0)))"""
    )
    for state, answers in (("memory", [1, None, 1]), ("snapshot", [1, None, None])):
        reports = desk.run(counting, "1\n1\n1\n", "--state", state, code=1)
        assert [report.get("content") for report in reports] == answers


def test_what_needs_a_node_is_answered_and_said(desk: Desk) -> None:
    (report,) = desk.run(ASK, "1\n")
    assert report["content"] == -6
    assert report["passed"] == [{"receiver": "b", "performative": "request", "content": None, "waited": True}]
    (report,) = desk.run(SEND, "1\n")
    assert report["passed"] == [{"receiver": "b", "performative": "request", "content": None}]


def test_what_a_deployment_refuses_is_refused_here(desk: Desk) -> None:
    for text, options, code in (
        ('(module (import "env" "x" (func)) (func (export "_start")))', [], "INVALID_WASM"),
        (ECHO, ["--limit", "fuel=5"], "INVALID_REQUEST"),
        (ECHO, ["--limit", "memory=64KB"], "INVALID_WASM"),
    ):
        agent = desk.write("agent.wat", text)
        done = run_cli("dev", "run", agent, *options, env=desk.environ, stdin="1\n")
        assert (done.returncode, done.stdout, code in done.stderr) == (1, "", True), done.stderr
    done = run_cli("dev", "run", desk.write("a.wat", ECHO), "--as", "message", env=desk.environ, stdin="{}\n{\n")
    assert (done.returncode, "line 2" in done.stderr, "INVALID_REQUEST" in done.stderr) == (1, True, True)
    assert list(desk.temporary.iterdir()) == []


class Running:
    """The verb in the background; `lines` is what it printed."""

    def __init__(self, desk: Desk, *arguments: str, stdin: str) -> None:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **desk.environ}
        self.output = desk.home / "output"
        given = desk.home / "stdin"
        given.write_text(stdin)
        with self.output.open("w") as output, given.open() as source:
            command = [sys.executable, "-m", "caxton", "dev", *arguments]
            self.process = subprocess.Popen(command, env=environ, stdin=source, stdout=output, stderr=output)
        desk.running.append(self.process)

    @property
    def text(self) -> str:
        return self.output.read_text()

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(desk: Desk, number: signal.Signals) -> None:
    running = Running(desk, "run", desk.write("loop.wat", LOOP), stdin="1\n")
    until(lambda: "runs on an executor" in running.text, "the agent runs")
    assert running.stop(number) == 130
    assert "Traceback" not in running.text
    assert list(desk.temporary.iterdir()) == []
    assert str(desk.temporary) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_watch_runs_again_with_every_change(desk: Desk) -> None:
    agent = desk.write("agent.wat", TALLY)
    running = Running(desk, "watch", agent, "-q", "--output", "json", stdin="1\n1\n")
    until(lambda: running.text.count('"message":2') == 1, "the first run")
    desk.write("agent.wat", "(module")
    until(lambda: "INVALID_WASM" in running.text, "what is wrong is said")
    replacement = Path(desk.write("next.wat", TRAP))
    replacement.rename(agent)
    until(lambda: running.text.count('"ended":"AGENT_FAILED"') == 2, "the run of the second agent")
    desk.write("agent.wat", TALLY)
    until(lambda: running.text.count('"content":2') == 2, "the run of the third, with empty keys")
    assert running.stop(signal.SIGINT) == 0
    assert "Traceback" not in running.text
    assert list(desk.temporary.iterdir()) == []


def test_watch_looks_at_the_configuration_and_the_messages_too(desk: Desk) -> None:
    agent, config, messages = desk.write("a.wat", ECHO), desk.write("a.toml", ""), desk.write("m", "1\n")
    running = Running(desk, "watch", agent, "--config-file", config, "--messages", messages, "-q", stdin="")
    until(lambda: running.text.count("inform") == 1, "the first run")
    desk.write("m", "1\n2\n")
    until(lambda: running.text.count("inform") == 3, "the run of two messages")
    desk.write("a.toml", "colour = 1\n")
    until(lambda: "INVALID_REQUEST" in running.text, "what is wrong is said")
    assert running.stop(signal.SIGTERM) == 0


def test_secrets_come_from_a_file_to_those_with_the_grant(desk: Desk) -> None:
    asks = reactor(
        "(call $answer (call $secret (i32.const 16) (i32.const 4) (i32.const 500) (i32.const 100)))",
        extra='(data (i32.const 16) "smtp")',
    )
    secrets = desk.write("secrets", "# of the desk\nsmtp=hunter2\n")
    for options, expected in (
        (("--secrets", secrets, "--grant", "secrets=smtp"), 7),
        (("--secrets", secrets), -1),
        (("--grant", "secrets=smtp"), -4),
    ):
        (report,) = desk.run(asks, "1\n", *options)
        assert report["content"] == expected
