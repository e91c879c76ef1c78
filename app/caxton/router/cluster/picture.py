"""The cluster as this node sees it, in one view.

Owns how the parts' figures become one picture. Must never ask another node, nor keep a figure.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import msgspec

from caxton import __version__
from caxton.cluster.gossip.members import GossipMember
from caxton.protocol.cluster import ClusterView, HandoverView, MemberView, OutboxView, Path, RegistryView
from caxton.protocol.handover import HandoverRow, Side
from caxton.protocol.peers import LINK_VERSION
from caxton.router.cluster.everywhere import homes, replicas
from caxton.router.cluster.service import Cluster
from caxton.router.cluster.verdict import problems
from caxton.router.desk import Desk
from caxton.router.timing.times import rfc3339


def picture(desk: Desk, cluster: Cluster) -> ClusterView:
    """Everything that `caxton cluster status` shows."""
    own, members = desk.config.coordination, cluster.members
    outbox = outboxes(cluster)
    seen = with_counts(cluster, member_views(cluster), outbox)
    found = problems(seen, outbox, expected_nodes=own.expected_nodes, majority=members.majority)
    return ClusterView(
        node_id=desk.node,
        alone=False,
        whole=not found,
        problems=found,
        expected_nodes=own.expected_nodes,
        majority=members.majority,
        majority_since=rfc3339(cluster.healing.majority_since),
        partition_mode=own.partition_mode,
        members=seen,
        outbox=outbox,
        registry=_registry(cluster),
        handovers=handovers(cluster),
    )


def member_views(cluster: Cluster) -> list[MemberView]:
    """This node and every other that serf still knows."""
    known: Mapping[str, GossipMember] = cluster.gossip.members()
    return [_member(cluster, node, known.get(node)) for node in sorted({cluster.node_id, *known})]


def _member(cluster: Cluster, node: str, known: GossipMember | None) -> MemberView:
    members, figures = cluster.members, cluster.links.figures_of(node)
    state = members.states.get(node)
    view = MemberView(
        node_id=node,
        address="" if known is None else known.api_address,
        state=str(state if state is not None else members.out.get(node, "unknown")),
        path=path_to(cluster, node),
        software="" if known is None else known.software,
        link_version=None if known is None else known.link_version,
        relays=list(members.relays.get(node, ())),
    )
    if node == cluster.node_id:
        itself = {"software": __version__, "link_version": LINK_VERSION, "registry_equal": True}
        return msgspec.structs.replace(view, **itself, clock_offset_seconds=0.0)
    return msgspec.structs.replace(
        view,
        last_beat_seconds=_age(None if figures is None else figures.answered_at),
        rtt_seconds=None if figures is None else figures.rtt_seconds,
        clock_offset_seconds=cluster.beats.clocks.ahead.get(node),
        registry_equal=cluster.likeness.equal(node) if view.reachable else None,
    )


def path_to(cluster: Cluster, node: str) -> Path:
    """How this node reaches another."""
    members = cluster.members
    if node == cluster.node_id:
        return Path.ITSELF
    if node in members.direct:
        return Path.DIRECT
    return Path.RELAY if node in members.reachable else Path.NONE


def outboxes(cluster: Cluster) -> list[OutboxView]:
    """What waits here for agents elsewhere, the longest first."""
    waiting, now = cluster.outboxes, time.time()
    lines = [
        OutboxView(
            agent, cluster.forwarding.places.of_agent(agent), count, max(0.0, now - (waiting.oldest(agent) or now))
        )
        for agent, count in waiting.receivers().items()
    ]
    return sorted(lines, key=lambda line: -line.oldest_seconds)


def handovers(cluster: Cluster) -> list[HandoverView]:
    """Agents that are moving from or to this node."""
    return [_handover(cluster.node_id, row) for row in cluster.homes.under_way()]


def _handover(node: str, row: HandoverRow) -> HandoverView:
    giver, taker = (node, row.peer) if row.side is Side.OUT else (row.peer, node)
    return HandoverView(row.agent, giver, taker, row.step.value, rfc3339(row.at))


def with_counts(cluster: Cluster, members: list[MemberView], outbox: list[OutboxView]) -> list[MemberView]:
    """The members with what lives there and what waits here for them."""
    waits: Counter[str] = Counter()
    for line in outbox:
        waits[line.node or ""] += line.messages
    lives, runs = homes(cluster), replicas(cluster)
    return [
        msgspec.structs.replace(one, homes=lives[one.node_id], replicas=runs[one.node_id], outbox=waits[one.node_id])
        for one in members
    ]


def _registry(cluster: Cluster) -> RegistryView:
    copy = cluster.records.registry
    tombstones = len(copy.tombstones())
    differs = cluster.likeness.differs_seconds(cluster.members.reachable)
    return RegistryView(copy.digest(), len(copy) - tombstones, tombstones, differs)


def _age(at: float | None) -> float | None:
    return None if at is None else max(0.0, time.time() - at)
