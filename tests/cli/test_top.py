"""`caxton top`: figures against a known load, and the screen on a real terminal."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from rich.cells import cell_len

from caxton.cli.client import Client
from caxton.cli.target import Target
from caxton.cli.top_figures import Frame, Look, Row, compare, look
from caxton.cli.top_show import ORDERS, Sight, ordered, screen
from caxton.protocol.errors import CaxtonError
from support.served_node import ServedNode
from support.terminal import ENTER, LEAVE, Terminal

SENT, FAILED = 40, 3


@pytest.fixture(scope="module")
def agents(node: ServedNode, echo: str) -> str:
    assert node.cli("agent", "deploy", str(node.directory / "trap.wat")).returncode == 0
    return echo


@contextmanager
def shown(node: ServedNode, *options: str, **environ: str) -> Iterator[Terminal]:
    terminal = Terminal("top", "-d", "0.2", *options, env={**node.environ, **environ})
    try:
        yield terminal
    finally:
        terminal.close()


def heading(lines: list[str]) -> str:
    return next((line for line in lines if line.startswith("AGENT")), "")


def listed(lines: list[str]) -> list[str]:
    """The names of the agents on the screen."""
    at = lines.index(heading(lines)) if heading(lines) else len(lines)
    return [line.split()[0] for line in lines[at + 1 : -1] if line.strip()]


def test_figures_are_those_of_a_known_load(node: ServedNode, agents: str) -> None:
    with closing(Client(Target(node.url))) as client:
        before = look(client)
        for number in range(SENT):
            client.post(f"/agents/{agents}/invoke", {"content": number})
        for _ in range(FAILED):
            with pytest.raises(CaxtonError, match="unreachable"):
                client.post("/agents/trap/invoke", {"content": 1, "delivery": "durable"})
        now = look(client)
    frame, seconds = compare(before, now), now.at - before.at

    def counted(rate: float | None) -> int:
        assert rate is not None
        return round(rate * seconds)

    rows = {row.name: row for row in frame.rows}
    assert counted(rows[agents].executions) == counted(rows[agents].messages) == SENT
    assert (counted(rows[agents].failures), rows[agents].failed, rows[agents].dead) == (0, 0, 0)
    assert counted(rows["trap"].failures) == rows["trap"].failed == rows["trap"].dead == FAILED
    assert counted(frame.executions) == counted(frame.messages) == SENT + FAILED
    assert rows[agents].memory_bytes == 4 * 65_536
    assert 0 < (rows[agents].cpu or 0) * seconds < seconds
    assert now.node is not None
    assert now.node["dead_letters"] == FAILED
    assert now.node["commits"] > 0
    assert now.node["resident_bytes"] > 1_000_000
    assert ordered(frame, "failures")[0].name == "trap"
    assert ordered(frame, "rate")[0].name == agents


def test_for_scripts_it_is_a_table_and_a_document(node: ServedNode, agents: str) -> None:
    table = node.cli("top", "--once", "-d", "0.1")
    assert table.returncode == 0, table.stderr
    assert "\x1b" not in table.stdout
    assert {agents, "trap"} <= {line.split(" ")[0] for line in table.stdout.splitlines()}
    found = node.json("top", "-d", "0.1", "--sort", "failures")
    assert (found["node"]["ready"], found["agents"][0]["name"]) == (True, "trap")
    stream = node.cli("top", "-n", "2", "-d", "0.1", "--output", "json")
    assert [json.loads(line)["more"] for line in stream.stdout.splitlines()] == [False, False]
    assert node.cli("top", "-q", "-d", "0.1", "--sort", "failures").stdout.split() == ["trap", agents]
    assert node.cli("top", "-d", "0").returncode == 2


def test_keys_sort_and_filter_and_a_new_size_is_kept_to(node: ServedNode, agents: str) -> None:
    with shown(node) as terminal:
        terminal.until(lambda lines: "*EXEC/S" in heading(lines), "the rate first")
        for key, column in (("c", "*CPU%"), ("m", "*MEMORY"), ("w", "*QUEUE"), ("f", "*FAILED"), ("r", "*EXEC/S")):
            terminal.press(key)
            terminal.until(lambda lines, column=column: column in heading(lines), column)
        terminal.press("f")
        terminal.until(lambda lines: listed(lines) == ["trap", agents], "what fails first")
        terminal.press("/ec")
        terminal.until(lambda lines: listed(lines) == [agents] and lines[-1] == "/ec_", "those with ec")
        terminal.press("q\x7f\r")
        terminal.until(lambda lines: "1-1 of 1 with 'ec'" in lines[-1], "the filter stays")
        terminal.press("\x1b")
        terminal.until(lambda lines: len(listed(lines)) == 2, "all again")
        for columns, rows in ((40, 7), (12, 3), (1, 1), (150, 50)):
            terminal.resize(columns, rows)
            lines = terminal.until(lambda lines, rows=rows: len(lines) == rows, f"{rows} lines")
            assert max(map(cell_len, lines)) < max(columns, 2), lines
        terminal.resize(100, 7)
        terminal.press("\x1b[B\x1b[B\x1b[6~\x1bOF")
        terminal.until(lambda lines: listed(lines) == [agents], "the last one")
        terminal.press("\x1b[5~")
        terminal.until(lambda lines: listed(lines) == ["trap"], "the first one")
        terminal.press("q")
        assert (terminal.wait(), terminal.restored()) == (0, True)


ENDS: dict[str, tuple[Callable[[Terminal], None], int]] = {
    "q": (lambda terminal: terminal.press("q"), 0),
    "Ctrl-C": (lambda terminal: terminal.press("\x03"), 130),
    "SIGTERM": (lambda terminal: terminal.signal(signal.SIGTERM), 130),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_terminal_is_as_it_was(node: ServedNode, agents: str, end: str) -> None:
    with shown(node, NO_COLOR="1") as terminal:
        terminal.until(lambda lines: agents in listed(lines), "a frame")
        ends, status = ENDS[end]
        ends(terminal)
        assert (terminal.wait(), terminal.restored()) == (status, True)
        assert b"Traceback" not in terminal.raw
        assert not re.search(rb"\x1b\[[1-9][0-9;]*m", terminal.raw), "no colours were wanted"


def test_it_ends_by_itself_and_gives_the_terminal_back_when_stopped(node: ServedNode, agents: str) -> None:
    with shown(node, "-n", "3") as terminal:
        terminal.until(lambda lines: agents in listed(lines), "a frame")
        terminal.signal(signal.SIGTSTP)
        assert (terminal.wait(), terminal.restored()) == (0, True)
        assert (terminal.raw.count(ENTER), terminal.raw.count(LEAVE)) == (2, 2)


def test_a_node_that_goes_away_is_told_and_awaited(node: ServedNode, agents: str) -> None:
    with shown(node) as terminal:
        terminal.until(lambda lines: agents in listed(lines), "a frame")
        node.stop()
        lines = terminal.until(lambda lines: any("UNREACHABLE" in line for line in lines), "that it is away")
        assert agents in listed(lines), "what was known stays"
        gone = node.cli("top", "--once")
        assert (gone.returncode, "[UNREACHABLE]" in gone.stderr) == (3, True)
        node.start()
        terminal.until(lambda lines: lines and not any("UNREACHABLE" in line for line in lines), "that it is back")
        terminal.press("q")
        assert (terminal.wait(), terminal.restored()) == (0, True)
        assert b"Traceback" not in terminal.raw


def row(name: str, **values: float) -> Row:
    figures = {"executions": None, "messages": None, "cpu": None, "failures": None}
    counts = {"memory_bytes": 0, "queue": 0, "in_flight": 0, "failed": 0, "dead": 0}
    return Row(name=name, node="n1", status="running", **{**figures, **counts, **values})  # type: ignore[arg-type]  # by name


EVIL = "\x1b[2J\x9b1m\r\n\t\u202e\u200d家族👩\u200d👩\u0301é" * 3


@pytest.mark.parametrize("width", [*range(1, 60), 200])
def test_no_line_is_wider_than_the_terminal_whatever_is_called_how(width: int) -> None:
    told = {
        "node": EVIL,
        "ready": False,
        "reasons": [EVIL],
        "version": EVIL,
        "uptime_seconds": 1e9,
        "agents": {EVIL: 1},
    }
    sizes = {"in_flight": 10**12, "queued": 10**12, "queue_limit": 1, "workers": 1, "resident_bytes": 10**18}
    more = {"memory_limit_bytes": 1, "dead_letters": 1, "members": {EVIL: 2}, "expected_nodes": 2, "majority": False}
    node = {**told, **sizes, **more}
    frame = Frame(node, "", 1e12, None, 1e9, [row(EVIL, queue=10**15), row("a", cpu=1e9)], True, [EVIL])
    for typing in (False, True):
        lines = screen(frame, Sight(only="", typing=typing), width, 12, EVIL, colours=False)
        assert len(lines) == 12
        assert max(map(cell_len, lines)) <= width
        assert all(line.isprintable() for line in lines), lines


@pytest.mark.parametrize("order", ORDERS)
def test_the_largest_is_first_and_equals_go_by_name(order: str) -> None:
    field = {"rate": "executions", "memory": "memory_bytes"}.get(order, order)
    rows = [row("b"), row("c", **{field: 2}), row("a"), row("d", **{field: 3})]
    frame = Frame(None, "", None, None, None, rows, False, [])
    assert [one.name for one in ordered(frame, order)] == ["d", "c", "a", "b"]


def test_a_router_that_was_started_again_has_no_rate_for_once() -> None:
    def seen(at: float, uptime: float, executions: int, accepted: int) -> Look:
        counters = {"pending": 0, "in_flight": 0, "done": accepted, "dead": 0, "expired": 0, "cancelled": 0}
        resources = {"executions": executions, "cpu_seconds": 1.0, "failures": 0}
        agent = {"name": "a", "node": "n", "status": "running", "resources": resources, "counters": counters}
        node = {"node": "n", "uptime_seconds": uptime, "executions": {"ok": executions}, "commits": 0}
        return Look(at, {**node, "commit_seconds": 0.0, "messages": {"accepted": accepted}}, [agent])

    frame = compare(seen(0, 100, 50, 50), seen(2, 1, 3, 54))
    assert (frame.executions, frame.rows[0].executions, frame.rows[0].messages) == (None, None, 2.0)
    frame = compare(seen(2, 1, 3, 54), seen(4, 3, 13, 64))
    assert (frame.executions, frame.messages, frame.rows[0].executions) == (5.0, 5.0, 5.0)
