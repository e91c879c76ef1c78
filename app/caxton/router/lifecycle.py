"""Stopping, starting, removing agents, and bringing them up when the router starts.

Owns an agent's status after its deployment. Must never lose pending mail: it waits, moves to the dead letters, or
is purged because somebody said so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Affected, Remove, Stop
from caxton.protocol.views import AgentView
from caxton.router import provenance
from caxton.router.agents import Agent
from caxton.router.deployments import describe, discard_modules
from caxton.router.desk import Desk
from caxton.router.readiness import require_accepting
from caxton.router.rows import agent_row
from caxton.router.versions import rollouts
from caxton.router.views import agent_view, require_etag
from caxton.store import Changes

BOOT_SIDE_BY_SIDE: Final = 4
BROUGHT_UP: Final = frozenset({AgentStatus.RUNNING, AgentStatus.QUARANTINED})
MAX_GRACE_SECONDS: Final = 3_600.0
_T = TypeVar("_T")

log = logging.getLogger(__name__)


async def stop(desk: Desk, args: Stop) -> AgentView:
    """Drains for at most the grace period, then stops; what is pending stays. Stopping twice is no error."""
    grace = min(max(0.0, args.grace_period_seconds), MAX_GRACE_SECONDS)
    return await _to_its_end(desk, _stop(desk, args.name, grace))


async def start(desk: Desk, name: str) -> AgentView:
    """Starts a stopped or failed agent; the error of its `agent_init` is the answer. Starting twice is no error."""
    require_accepting(desk)
    return await _to_its_end(desk, _start(desk, name))


async def remove(desk: Desk, args: Remove) -> Affected:
    """Ends the agent and forgets it; answers how many of its messages went to the dead letters, or away."""
    return await _to_its_end(desk, _remove(desk, args))


async def bring_up(desk: Desk, agents: list[Agent]) -> None:
    """Makes the agents that ran before the restart ready again, a few at a time; one that cannot is `failed`."""
    places = asyncio.Semaphore(BOOT_SIDE_BY_SIDE)

    async def one(agent: Agent) -> None:
        async with places, desk.lock(agent.name):
            if desk.registry.get(agent.name) is not agent or agent.status not in BROUGHT_UP:
                return
            try:
                await _prepare(desk, agent)
            except CaxtonError as error:
                await _failed(desk, agent, error)

    await asyncio.gather(*(one(agent) for agent in agents))


async def _to_its_end(desk: Desk, change: Coroutine[Any, Any, _T]) -> _T:
    """A change of an agent's life is never left half done because its caller hung up."""
    return await asyncio.shield(desk.spawn(change))


async def _stop(desk: Desk, name: str, grace: float) -> AgentView:
    async with desk.lock(name):
        agent = desk.registry.require(name)
        if agent.status is not AgentStatus.STOPPED:
            await halt(desk, agent, grace, "an operator stopped it")
        return await agent_view(desk, agent)


async def _start(desk: Desk, name: str) -> AgentView:
    async with desk.lock(name):
        agent = desk.registry.require(name)
        if agent.status is AgentStatus.QUARANTINED:
            desk.core.end_quarantine(agent, "an operator started it")
            await desk.core.commit(Changes(agents=[agent_row(agent)]))
        elif agent.status is not AgentStatus.RUNNING:
            await run(desk, agent)
        return await agent_view(desk, agent)


async def halt(desk: Desk, agent: Agent, grace: float, reason: str) -> None:
    """Stops it for `reason`, which its view and its history show; to be called with the agent's lock."""
    await rollouts.settle(desk, agent.name, "the agent was stopped")
    await _set(desk, agent, AgentStatus.DRAINING, reason)
    await desk.core.drain(agent, grace)
    await _set(desk, agent, AgentStatus.STOPPED, reason)
    desk.events.publish("agent.stopped", {"name": agent.name})


async def run(desk: Desk, agent: Agent) -> None:
    """Starts it, or raises why it cannot run; to be called with the agent's lock."""
    try:
        await _prepare(desk, agent)
        result = await desk.core.start_agent(agent)
        if result.woke_seconds is None:  # one that goes on from its snapshot said long ago what it is
            describe(agent, result)
    except CaxtonError as error:
        await _failed(desk, agent, error)
        raise
    await _set(desk, agent, AgentStatus.RUNNING)
    desk.core.attach(agent)
    desk.events.publish("agent.started", {"name": agent.name, "incarnation": agent.incarnation})


async def _remove(desk: Desk, args: Remove) -> Affected:
    async with desk.lock(args.name):
        agent = desk.registry.require(args.name)
        require_etag(agent, args.etag)
        await rollouts.settle(desk, args.name, "the agent was removed")
        if agent.status is not AgentStatus.STOPPED:
            await _set(desk, agent, AgentStatus.DRAINING)
            await desk.core.drain(agent, desk.config.runtime.agent_shutdown_timeout)
        count = await desk.core.discard_pending(agent, purge=args.purge, remove=True)
        desk.core.detach(agent)
        forget(desk, agent)
        desk.events.publish("agent.removed", {"name": agent.name, "messages": count, "purged": args.purge})
        return Affected(count)


def forget(desk: Desk, agent: Agent) -> None:
    """Nothing in memory knows of it any more; its rows are gone."""
    desk.registry.drop(agent.name)
    desk.core.followers.tell(agent.name)
    desk.recordings.forget(agent.name)
    desk.rollouts.forget(agent.name)
    discard_modules(desk, {agent.module.sha256, *desk.versions.drop(agent.name)})


async def _prepare(desk: Desk, agent: Agent) -> None:
    provenance.require_kept(desk, agent)
    await desk.core.prepare_kept(desk.modules.path(agent.module.sha256), agent)


async def _set(desk: Desk, agent: Agent, status: AgentStatus, reason: str | None = None) -> None:
    agent.status, agent.status_reason, agent.quarantine = status, reason, None
    await desk.core.commit(Changes(agents=[agent_row(agent)]))


async def _failed(desk: Desk, agent: Agent, error: CaxtonError) -> None:
    log.error("agent %s cannot run: %s: %s", agent.name, error.code, error.message)
    await rollouts.settle(desk, agent.name, "the agent cannot run")
    await _set(desk, agent, AgentStatus.FAILED, f"{error.code}: {error.message}"[:1_000])
    await desk.core.drain(agent, 0.0)
    desk.events.publish("agent.failed", {"name": agent.name, "code": error.code})
