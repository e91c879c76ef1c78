"""Whether a namespace has room for another agent.

Owns that one question, which the registry answers. Must never count anything itself.
"""

from __future__ import annotations

from caxton.protocol.access import namespace_of
from caxton.router.desk import Desk


def agents_of(desk: Desk, namespace: str) -> int:
    """How many agents are deployed in a namespace."""
    return sum(namespace_of(agent.name) == namespace for agent in desk.registry)


def require_agent_room(desk: Desk, name: str) -> None:
    """`RESOURCE_LIMIT_EXCEEDED` when the namespace of a new agent has all the agents that it may have."""
    account = desk.core.accounts.of(name)
    limit = None if account is None else account.quota.agents
    if account is not None and limit is not None and (found := agents_of(desk, account.namespace)) >= limit:
        account.refused["agents"] += 1
        raise account.exceeded("agents", found, limit, "remove one first")
