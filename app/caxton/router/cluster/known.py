"""Whether there is an agent of a name, here or anywhere in the cluster.

Owns that one question. Must never ask another node: the registry knows.
"""

from __future__ import annotations

from caxton.router.desk import Desk


def require_agent(desk: Desk, name: str) -> None:
    """`AGENT_NOT_FOUND` for a name that nobody has."""
    if desk.cluster is None or desk.cluster.records.agent(name) is None:
        desk.registry.require(name)
