"""Agents: show, list, state, executions, log.

Owns what is shown about an agent besides its life. Must never change one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Listing, Logs, Named, Nothing
from caxton.protocol.views import AgentView, Counts, Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.connection import Sink
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_cursor, read_last, write_cursor, write_last
from caxton.router.views import agent_view, agent_view_with, execution_view, log_view, state_view, version_view

LOOK_SECONDS: Final = 1.0
MAX_LOG_LINES: Final = 10_000


async def get(desk: Desk, args: Named) -> AgentView:
    """One agent."""
    await desk.core.write_counts()
    return await agent_view(desk, desk.registry.require(args.name))


async def list_agents(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Agents by name; `status` and `capability` choose."""
    limit = check_limit(args.limit)
    if args.status is not None and args.status not in set(AgentStatus):
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"status: {args.status[:64]!r} is none",
            path="status",
            found=args.status[:64],
            expected=list(AgentStatus),
        )
    position = read_cursor(args.cursor, str)
    after = "" if position is None else str(position[0])
    chosen = sorted(
        (
            agent
            for agent in desk.registry
            if agent.name > after
            and reach.agent(agent.name)
            and args.status in (None, agent.status)
            and (args.capability is None or args.capability in agent.capabilities)
        ),
        key=lambda agent: agent.name,
    )
    await desk.core.write_counts()
    ledger = await desk.read(desk.store.reader.ledger)
    shown = chosen[:limit]
    cursor = write_cursor(shown[-1].name) if len(chosen) > limit else None
    return Page([agent_view_with(desk, agent, ledger.get(agent.name, Counts())) for agent in shown], cursor)


async def versions(desk: Desk, args: Named) -> Page:
    """The agent's kept versions, newest first."""
    agent = desk.registry.require(args.name)
    rows = await desk.read(desk.store.reader.versions, args.name)
    live = desk.rollouts.live(args.name)
    beside = None if live is None else live.side.agent.version
    role = "warm" if live is None or live.row.canary is None else "candidate"
    states = {beside: role, agent.version: "current"}
    return Page([version_view(row, states.get(row.version, "kept")) for row in reversed(rows)])


async def state(desk: Desk, args: Listing) -> Page:
    """The agent's keys, in their order."""
    name = _require_name(desk, args.name)
    after = read_last(args.cursor)
    found = await desk.read(desk.store.reader.keys, name, limit=check_limit(args.limit), cursor=after)
    return Page([state_view(row) for row in found.rows], write_last(found.next_cursor))


async def executions(desk: Desk, args: Listing) -> Page:
    """The agent's executions, newest first: the last `RECENT_EXECUTIONS` without a gap, older ones a sample."""
    name = _require_name(desk, args.name)
    await desk.core.write_counts()
    found = await desk.read(desk.store.reader.executions, name, limit=check_limit(args.limit), cursor=args.cursor)
    return Page([execution_view(row) for row in found.rows], found.next_cursor)


async def logs(desk: Desk, args: Logs, sink: Sink) -> Nothing:
    """The last lines, then with `follow` those that come, until the caller hangs up or the agent is removed."""
    name = _require_name(desk, args.name)
    if not 0 <= args.limit <= MAX_LOG_LINES:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"limit: 0 to {MAX_LOG_LINES}",
            path="limit",
            found=args.limit,
            maximum=MAX_LOG_LINES,
        )
    lines = await desk.read(desk.store.reader.logs, name, limit=max(args.limit, 1))
    seen = lines[-1].seq if lines else 0
    for line in lines if args.limit else ():
        await sink.put(log_view(line))
    while args.follow and not desk.draining and desk.registry.get(name) is not None:
        more = desk.core.followers.expect(name)
        for line in await desk.read(desk.store.reader.logs, name, after=seen, limit=1_000):
            await sink.put(log_view(line))
            seen = line.seq
        with suppress(TimeoutError):  # time to see whether the node still serves
            await asyncio.wait_for(more.wait(), LOOK_SECONDS)
    return Nothing()


def _require_name(desk: Desk, name: str | None) -> str:
    if name is None:
        raise CaxtonError(Code.INVALID_REQUEST, "name: which agent?", path="name", expected="an agent's name")
    return desk.registry.require(name).name
