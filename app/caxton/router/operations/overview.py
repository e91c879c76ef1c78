"""The node at one look: the few figures that people watch, where `stats` has all of them.

Owns which they are. Must never change anything.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from caxton import __version__
from caxton.protocol.agents import AgentStatus
from caxton.protocol.operations import Nothing
from caxton.protocol.views import NodeView
from caxton.router import readiness
from caxton.router.cluster.picture import member_views
from caxton.router.desk import Desk
from caxton.router.operations import node as ops_node


async def show(desk: Desk, _: Nothing) -> NodeView:
    """The node that is asked."""
    ready, books = readiness.readiness(desk), await ops_node.ledger(desk, Nothing())
    dead_letters = await desk.read(desk.store.reader.dead_letters)
    core, by_status = desk.core.stats(), Counter(agent.status for agent in desk.registry)
    workers, commits = core["workers"], core["meters"]["commits"]
    return NodeView(
        node=desk.node,
        version=__version__,
        uptime_seconds=time.time() - desk.started_at,
        ready=ready.ready,
        reasons=ready.reasons,
        agents={status: by_status[status] for status in AgentStatus if by_status[status]},
        executions=core["meters"]["executions"],
        messages=books.node,
        dead_letters=dead_letters,
        queued=core["queued"],
        queue_limit=desk.config.messaging.queue_size,
        in_flight=core["in_flight"],
        workers=len(workers),
        resident_bytes=sum(worker["rss_bytes"] for worker in workers),
        memory_limit_bytes=desk.config.runtime.memory_limit,
        commits=commits["buckets"][-1][1],
        commit_seconds=commits["seconds"],
        **_membership(desk),
    )


def _membership(desk: Desk) -> dict[str, Any]:
    if desk.cluster is None:
        return {}
    seen = Counter(member.state for member in member_views(desk.cluster))
    own = desk.config.coordination
    return {"members": seen, "expected_nodes": own.expected_nodes, "majority": desk.cluster.members.majority}
