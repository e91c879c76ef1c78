"""The cluster's figures for /metrics; api/cluster_metrics.py gives them their names.

Owns their shape. Must never ask another node.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from caxton.cluster.membership import Out
from caxton.protocol.cluster import MemberView, Path
from caxton.router.cluster.everywhere import homes_out_of_reach
from caxton.router.cluster.picture import picture
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk


def figures(desk: Desk, cluster: Cluster) -> dict[str, Any]:
    """Of a node that is not alone."""
    view = picture(desk, cluster)
    others = [member for member in view.members if member.path is not Path.ITSELF]
    # serf remembers who said goodbye for days: nobody is to be called because such a node cannot be reached.
    expected = [member for member in others if member.state != Out.LEFT]
    return {
        "expected_nodes": view.expected_nodes,
        "majority": view.majority,
        "members": Counter(member.state for member in view.members),
        "peers": {member.node_id: _peer(cluster, member) for member in expected},
        "registry_records": view.registry.records,
        "registry_tombstones": view.registry.tombstones,
        "registry_differs_seconds": view.registry.differs_seconds or 0.0,
        "outbox_messages": {member.node_id: member.outbox for member in others},
        "outbox_oldest_seconds": max((line.oldest_seconds for line in view.outbox), default=0.0),
        "homes_unreachable": homes_out_of_reach(cluster),
        "handovers": len(view.handovers),
        "forwarded": cluster.outboxes.forwarded,
        "suppressed": cluster.arrivals.duplicates,
        "relayed": cluster.links.relayed,
        "pull_bytes": cluster.pulling.counts["bytes_in"],
    }


def _peer(cluster: Cluster, member: MemberView) -> dict[str, Any]:
    link = cluster.links.figures_of(member.node_id)
    return {
        "reachable": member.reachable,
        "direct": member.path is Path.DIRECT,
        "rtt_seconds": member.rtt_seconds,
        "clock_offset_seconds": member.clock_offset_seconds,
        "registry_equal": member.registry_equal,
        "bytes_sent": 0 if link is None else link.bytes_out,
        "bytes_received": 0 if link is None else link.bytes_in,
    }
