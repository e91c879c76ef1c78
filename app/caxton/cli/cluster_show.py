"""How the cluster is shown to people.

Owns columns and wording. Must never ask anything.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.cli.render import cell, emit_json, emit_one, emit_page, note
from caxton.cli.state import State

MEMBERS: Final = {
    "NODE": "node_id",
    "STATE": "state",
    "REACHED": "path",
    "BEAT": "beat",
    "RTT": "rtt",
    "REGISTRY": "registry_equal",
    "CLOCK": "clock",
    "HOMES": "homes",
    "REPLICAS": "replicas",
    "OUTBOX": "outbox",
    "SOFTWARE": "software",
    "LINK": "link_version",
    "ADDRESS": "address",
}
MOVES: Final = {
    "AGENT": "agent",
    "FROM": "giver",
    "TO": "taker",
    "STATE": "stateful",
    "WAITING": "waiting",
    "IN FLIGHT": "in_flight",
    "STAYS": "why",
}
REPORTS: Final = {
    "NODE": "node",
    "SINCE": "since",
    "UNTIL": "until",
    "MINORITY": "minority",
    "HOMES": "homes",
    "BOTH SIDES": "both_sides",
    "SUPPRESSED": "suppressed_count",
    "COMPLETE": "complete",
}
_OUTBOX: Final = {"AGENT": "agent", "FOR NODE": "node", "MESSAGES": "messages", "OLDEST": "oldest_seconds"}
_HANDOVERS: Final = {"AGENT": "agent", "FROM": "giver", "TO": "taker", "STEP": "step", "SINCE": "since"}


def show_status(state: State, view: dict[str, Any]) -> None:
    """The verdict, what it rests on, then the nodes; what waits and what moves only where there is some."""
    if state.as_json:
        emit_json(view)
        return
    lines = _lines(view)
    emit_one(state, lines, {line: line for line in lines})
    show_members(state, {"items": view["members"]})
    for items, columns in ((view["outbox"], _OUTBOX), (view["handovers"], _HANDOVERS)):
        if items:
            emit_page(state, {"items": items}, columns)


def show_drained(state: State, answer: dict[str, Any], whose: str = "") -> None:
    """What a drain came to in the cluster: homes that moved, those that did not and why, mail that still waits."""
    moves = [{"stateful": True, **move} for move in (*answer.get("moved", ()), *answer.get("kept", ()))]
    if moves:
        emit_page(state, {"items": moves}, MOVES)
    words = [f"{whose}drained" if answer["drained"] else f"{whose}somebody undrained the node meanwhile"]
    for count, what in (
        (len(answer["running"]), "executions did not end in time and went back to their mailboxes"),
        (len(answer.get("kept", ())), "agents stay and are not served while the node is away"),
        (answer.get("outbox", 0), "messages still wait here for other nodes"),
    ):
        words += [f"{count} {what}"] if count else []
    note(state, "; ".join(words))


def show_members(state: State, page: dict[str, Any]) -> None:
    """The nodes: for people with few digits, for programs as they came."""
    if not state.as_json:
        page = {"items": [{**member, **_readable(member)} for member in page["items"]]}
    emit_page(state, page, MEMBERS)


def _readable(member: dict[str, Any]) -> dict[str, str | None]:
    beat, rtt, clock = (member[name] for name in ("last_beat_seconds", "rtt_seconds", "clock_offset_seconds"))
    return {
        "beat": None if beat is None else f"{beat:.1f} s ago",
        "rtt": None if rtt is None else f"{rtt * 1000:.1f} ms",
        "clock": None if clock is None else f"{clock:+.3f} s",
    }


def _lines(view: dict[str, Any]) -> dict[str, Any]:
    members, registry = view["members"], view["registry"]
    there = sum(member["path"] != "none" and member["state"] == "active" for member in members)
    majority = "majority" if view["majority"] else "NO MAJORITY: control-plane changes are refused"
    return {
        "cluster": "alone" if view["alone"] else "whole" if view["whole"] else "NOT WHOLE",
        "because": [_problem(problem) for problem in view["problems"]],
        "seen by": view["node_id"],
        "nodes": f"{there} active of {view['expected_nodes']} expected; {majority} since {view['majority_since']}",
        "registry": _registry(registry),
        "outbox": f"{sum(line['messages'] for line in view['outbox'])} messages wait for other nodes",
    }


def _problem(problem: dict[str, Any]) -> str:
    about = f" {problem['node']}" if problem.get("node") else ""
    return f"{problem['problem']}{about}" + (f" ({problem['detail']})" if problem.get("detail") else "")


def _registry(registry: dict[str, Any]) -> str:
    differs = registry["differs_seconds"]
    equal = "equal everywhere" if differs is None else f"differs for {cell(differs)} s"
    return f"{registry['records']} records, {registry['tombstones']} tombstones, {equal}"
