"""Where agents live, as the registry says it, for those who look at the cluster as a whole.

Owns these counts. Must never place anything.
"""

from __future__ import annotations

from collections import Counter

from caxton.cluster import placement
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk


def homes(cluster: Cluster) -> Counter[str]:
    """By node: agents with durable state that live there."""
    return Counter(one.home for one in cluster.records.agents() if one.home is not None)


def homes_at(cluster: Cluster, node: str) -> list[str]:
    """Their names."""
    return [one.name for one in cluster.records.agents() if one.home == node]


def replicas(cluster: Cluster) -> Counter[str]:
    """By node: agents without durable state that run there while the members are what they are."""
    active = cluster.members.active
    without = (one for one in cluster.records.agents() if one.home is None)
    return Counter(node for one in without for node in placement.hosts(one, active))


def replicas_here(desk: Desk, cluster: Cluster) -> list[str]:
    """Names of agents without durable state that are on this node."""
    without = (one.name for one in cluster.records.agents() if one.home is None)
    return [name for name in without if desk.registry.get(name) is not None]


def homes_out_of_reach(cluster: Cluster) -> int:
    """How many agents with durable state live where this node cannot reach."""
    reachable = cluster.members.reachable
    return sum(count for node, count in homes(cluster).items() if node not in reachable)
