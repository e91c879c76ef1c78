"""What a node had before it was of a cluster, or before a crash, becomes part of the registry.

Owns that first word. Must never say anything again: what has a record, or had one, is the registry's.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.protocol.agents import AgentStatus
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk
from caxton.router.rows import agent_row
from caxton.store import Changes
from caxton.store.reader import Reader

_PAGE: Final = 1_000
_NOT_YET: Final = frozenset({AgentStatus.DEPLOYING})


async def publish_all(desk: Desk, cluster: Cluster) -> None:
    """Once, as soon as this node knows what a majority knows."""
    await cluster.pulling.synced.wait()
    used = await desk.read(_stored, desk.store.reader)
    here = {agent.name: agent for agent in desk.registry if agent.status not in _NOT_YET}
    used["agents"] = [agent_row(agent) for agent in here.values()]
    used["versions"] = [
        row for row in used["versions"] if row.name in here and row.agent_id == here[row.name].agent_id
    ]
    desk.core.commits.hand_over()
    records = cluster.records.unpublished(used)
    if records:
        await desk.core.commit(Changes(registry=records))


def _stored(reader: Reader) -> dict[str, Any]:
    """As attributes of changes, all that every node must know."""
    return {
        "api_keys": _all(reader.api_keys),
        "revoked_tokens": _all(reader.revoked_tokens),
        "namespaces": reader.namespaces.all(),
        "secrets": reader.secrets(),
        "capabilities": reader.talks.capabilities(),
        "subscriptions": reader.talks.subscriptions(),
        "versions": reader.versions(),
    }


def _all(pages: Any) -> list[Any]:
    found, cursor = [], None
    while True:
        page = pages(limit=_PAGE, cursor=cursor)
        found += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return found
