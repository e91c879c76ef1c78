"""Where agents live, as the registry says it, for those who look at the cluster as a whole.

Owns these counts. Must never place anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from caxton.protocol.peers import AgentRecord
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk


def agents(cluster: Cluster) -> Iterable[AgentRecord]:
    """All that are deployed anywhere."""
    return ()


def homes_at(cluster: Cluster, node: str) -> list[str]:
    """Agents with durable state that live there."""
    return [one.name for one in agents(cluster) if one.home == node]


def replicas_here(desk: Desk, cluster: Cluster) -> list[str]:
    """Agents without durable state that run on this node."""
    return [one.name for one in agents(cluster) if one.home is None and desk.registry.get(one.name) is not None]
