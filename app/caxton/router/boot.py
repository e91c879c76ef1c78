"""What an earlier life of the router left: agents, jobs, module files.

Owns the way from rows to a running desk. Must never wait for agents: the node is ready before they are.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.versions import RolloutState
from caxton.router import async_invoke, deployments, lifecycle
from caxton.router.agents import Agent, Registry
from caxton.router.deployments import needed_modules
from caxton.router.desk import Desk
from caxton.router.jobs import DEPLOY, INVOKE, RUNNING, UPDATE
from caxton.router.rows import agent_of, agent_row
from caxton.router.versions import rollouts, updates
from caxton.router.versions.kept import strangers, without_rows
from caxton.store import Changes, JobRow, RolloutRow, Store, VersionRow

log = logging.getLogger(__name__)


def fill_registry(store: Store) -> Registry:
    """All deployed agents. One that was draining has stopped: nothing of it runs any more."""
    registry = Registry()
    snapshots = store.reader.snapshots.infos()
    for row in store.reader.agents():
        agent = agent_of(row, store.reader.state_bytes(row.name), snapshots.get(row.name))
        if agent.status is AgentStatus.DRAINING:
            agent.status = AgentStatus.STOPPED
        registry.add(agent)
    return registry


async def start_core(desk: Desk) -> None:
    """The hot half begins; in a cluster agents that may live elsewhere by now run nothing yet."""
    if desk.cluster is None:
        await desk.core.start()
        return
    await desk.cluster.keeping.recover()
    await desk.core.start(desk.cluster.homes.is_held_at_start)


async def resume(desk: Desk) -> None:
    """Corrects rows, takes up jobs, then brings agents up in the background."""
    stopped = [agent_row(agent) for agent in desk.registry if agent.status is AgentStatus.STOPPED]
    if stopped:
        await desk.core.commit(Changes(agents=stopped))
    under_way = await _load_versions(desk)
    for row in await desk.read(desk.store.reader.jobs, state=RUNNING):
        await _take_up(desk, row)
    await desk.modules.collect(needed_modules(desk))
    await _load_snapshots(desk)
    running = [agent for agent in desk.registry if agent.status in lifecycle.BROUGHT_UP]
    if running:
        desk.spawn(_bring_up(desk, running))
    for rollout in under_way:
        desk.spawn(rollouts.resume(desk, rollout))


async def _load_snapshots(desk: Desk) -> None:
    """Removes snapshots that nobody may go on from, and says so; makes small what an earlier life left large."""
    gone = []
    for name in await desk.read(desk.store.reader.snapshots.infos):
        agent = desk.registry.get(name)
        if agent is None or agent.snapshot is None:
            gone.append(name)
        if agent is not None and agent.snapshot is None:
            desk.core.snapshots.tell_dropped(agent, "the agent was run without it meanwhile")
    if gone:
        await desk.core.commit(Changes(snapshots_removed=gone))
    for name in await desk.read(desk.store.reader.snapshots.unfolded):
        desk.core.snapshots.folding.add(name)


async def _load_versions(desk: Desk) -> list[RolloutRow]:
    """Kept versions and rollouts, made right where an older release has worked; gives the rollouts that run."""
    ids = {agent.name: agent.agent_id for agent in desk.registry}
    rows = await desk.read(desk.store.reader.versions)
    foreign = strangers(rows, ids)
    gone = {(row.name, row.version) for row in foreign}
    _sign_again(desk, rows)
    desk.versions.load(row for row in rows if (row.name, row.version) not in gone)
    missing = without_rows(desk.registry, desk.versions)
    desk.versions.load(missing)
    if gone or missing:
        await desk.core.commit(Changes(versions_removed=sorted(gone)))
        await desk.core.commit(Changes(versions=missing))
    found = [row for row in await desk.read(desk.store.reader.rollouts) if ids.get(row.name) == row.agent_id]
    desk.rollouts.load(found)
    return [row for row in found if row.state is RolloutState.RUNNING]


def _sign_again(desk: Desk, rows: list[VersionRow]) -> None:
    """An older release that wrote an agent's row meanwhile kept no signature there; its version's row has it."""
    for row in rows:
        agent = desk.registry.get(row.name)
        if agent is not None and (agent.agent_id, agent.version) == (row.agent_id, row.version):
            agent.signature, agent.signed_by = row.signature, row.signed_by


async def _take_up(desk: Desk, row: JobRow) -> None:
    job = desk.jobs.resume(row)
    try:
        if row.kind == DEPLOY:
            deployments.resume(desk, job)
        elif row.kind == UPDATE:
            updates.resume(desk, job)
        elif row.kind == INVOKE:
            await async_invoke.resume(desk, job)
        else:
            raise CaxtonError(Code.INTERNAL_ERROR, f"this release knows no job of kind {row.kind!r}")
    except CaxtonError as error:
        await desk.jobs.fail(job, error)
    except msgspec.ValidationError as error:
        await desk.jobs.fail(job, CaxtonError(Code.INTERNAL_ERROR, f"this release cannot read the job: {error}"))


async def _bring_up(desk: Desk, agents: list[Agent]) -> None:
    try:
        await lifecycle.bring_up(desk, agents)
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("bringing up agents failed")
