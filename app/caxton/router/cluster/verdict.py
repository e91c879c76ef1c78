"""Whether a cluster is whole, and if not, why.

Owns the names of the problems (app/docs/cluster.md lists them). Pure: must never ask anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from caxton.protocol.cluster import MemberView, OutboxView, Path, ProblemView
from caxton.protocol.peers import NodeState

OUTBOX_SECONDS: Final = 30.0
"""How long a message may wait for a node that is there before it is a problem: far longer than a batch takes."""
CLOCK_SECONDS: Final = 60.0
"""Records from further ahead are refused (spec/cluster.md)."""


def problems(
    members: Sequence[MemberView], outbox: Iterable[OutboxView], *, expected_nodes: int, majority: bool
) -> list[ProblemView]:
    """Everything that keeps the cluster from being whole; empty when nothing does."""
    found = [] if majority else [ProblemView("minority", detail="control-plane changes are refused")]
    there = [member for member in members if member.state != NodeState.LEFT]
    if len(there) < expected_nodes:
        left = sorted({member.node_id for member in members} - {member.node_id for member in there})
        known = f"{len(there)} of {expected_nodes} nodes are known"
        found.append(ProblemView("missing", detail=f"{known}; left: {', '.join(left)}" if left else known))
    for member in there:
        found += _of_member(member)
    late = (line for line in outbox if line.oldest_seconds > OUTBOX_SECONDS)
    return found + [ProblemView("outbox", line.node, f"{line.messages} for {line.agent}") for line in late]


def _of_member(member: MemberView) -> Iterator[ProblemView]:
    node = member.node_id
    if member.path is Path.NONE:
        yield ProblemView("unreachable", node)
        return
    if member.state != NodeState.ACTIVE:
        yield ProblemView(member.state, node)
    if member.registry_equal is False:
        yield ProblemView("registry_differs", node)
    if abs(member.clock_offset_seconds or 0.0) > CLOCK_SECONDS:
        yield ProblemView("clock", node, f"{member.clock_offset_seconds:+.0f} s")
