"""The cluster as this node sees it: who is missing, who is cut off, whose clock is off.

Owns how grave each problem is. Must never ask another node.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from caxton.doctor.model import Check, Patient, Status
from caxton.protocol.errors import CaxtonError

NAME: Final = "cluster"
CLOCK: Final = "clocks of the cluster"
LINKS: Final = "links of the cluster"
OFFSET_SECONDS: Final = 0.5
"""From here on tokens and deadlines differ between nodes; records are refused from a minute on."""
_GRAVE: Final = frozenset({"minority", "unreachable", "failed", "clock"})
_HINT: Final = "caxton cluster status; app/docs/cluster.md"
_HINT_MINORITY: Final = f"normal for `detection_timeout` after a start: ask again; then {_HINT}"


def examine(patient: Patient) -> Iterator[Check]:
    """Nothing where the node is alone."""
    if not patient.config.coordination.cluster_enabled:
        yield Check(NAME, Status.OK, "this node is alone")
        return
    try:
        view = patient.ask("cluster.status")
    except CaxtonError as error:
        yield Check(NAME, Status.FAIL, f"unknown: {error.message}", "systemctl status caxton-router caxton-gossip")
        return
    yield from _problems(view)
    others = [member for member in view["members"] if member["path"] != "self" and member["state"] != "left"]
    yield _links(others)
    yield _clocks(others)


def _problems(view: dict[str, Any]) -> Iterator[Check]:
    for one in view["problems"]:
        about = " ".join(part for part in (one["problem"], one.get("node"), one.get("detail")) if part)
        hint = _HINT_MINORITY if one["problem"] == "minority" else _HINT
        yield Check(NAME, Status.FAIL if one["problem"] in _GRAVE else Status.WARN, about, hint)
    if not view["problems"]:
        there = len([member for member in view["members"] if member["state"] == "active"])
        yield Check(NAME, Status.OK, f"whole: {there} of {view['expected_nodes']} nodes are active")


def _links(others: list[dict[str, Any]]) -> Check:
    cut = [member["node_id"] for member in others if member["path"] != "direct"]
    if cut:
        found = f"no link of our own to {', '.join(cut)}"
        return Check(
            LINKS, Status.WARN, found, "is the port of the API open between both, are both certificates good?"
        )
    slowest = max((member["rtt_seconds"] or 0.0 for member in others), default=0.0)
    return Check(LINKS, Status.OK, f"{len(others)} answer, the slowest in {slowest * 1000:.1f} ms")


def _clocks(others: list[dict[str, Any]]) -> Check:
    off = {member["node_id"]: member["clock_offset_seconds"] or 0.0 for member in others}
    wrong = [f"{node} {offset:+.1f} s" for node, offset in off.items() if abs(offset) > OFFSET_SECONDS]
    if wrong:
        return Check(CLOCK, Status.WARN, f"against ours: {', '.join(wrong)}", "timedatectl on both")
    return Check(CLOCK, Status.OK, f"within {max(map(abs, off.values()), default=0.0):.3f} s of ours")
