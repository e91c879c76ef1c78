"""Updates and rollbacks: another version of an agent takes the place of the one that serves.

Owns the steps, and that the old version serves until the new one has started and passed its self-test. A crash
between two steps leaves one of them: the agent's row is written with the job's end. Must never compile or run.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Deployed
from caxton.protocol.versions import BlueGreen, Canary, ConfigChange, Rollback, RolloutState, Strategy, Update
from caxton.protocol.views import AgentView, Counts
from caxton.router import admission, provenance
from caxton.router.access.bounds import bounded, require_bounded
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.agents import Agent
from caxton.router.boxes import Box
from caxton.router.deployments import answer, carry_out, compiling, describe, discard_modules, let_go, require_member
from caxton.router.desk import Desk
from caxton.router.jobs import UPDATE, Job
from caxton.router.readiness import require_accepting, require_disk
from caxton.router.rows import agent_row
from caxton.router.selftest import self_test_apart
from caxton.router.snapshots.rules import check_shared
from caxton.router.versions import rollouts
from caxton.router.versions.kept import agent_of_version, candidate, keep, no_version, plan_row, version_row
from caxton.router.views import agent_view, agent_view_with, require_etag
from caxton.store import Changes, VersionRow

FAILED_EVENT: Final = "agent.update_failed"


class Order(msgspec.Struct, frozen=True):
    """An update as its job keeps it. `own_module`: a module came with it; else it is the one that is there.

    `within`: the namespace to which whoever wants it is bound.
    """

    name: str
    agent_id: str
    change: ConfigChange
    sha256: str
    own_module: bool
    strategy: Strategy
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    etag: str | None = None
    within: str | None = None
    signature: str | None = None


async def update(desk: Desk, args: Update, reach: Reach = EVERYTHING) -> Deployed:
    """Checks, keeps the module, makes the job durable, and answers with whatever is true after `wait_seconds`."""
    require_accepting(desk)
    require_disk(desk)
    agent = desk.registry.require(args.name)
    require_etag(agent, args.etag)
    _require_change(args)
    _require_startable(desk, agent, args.strategy)
    wanted = bounded(args.change.applied_to(agent.config), reach.namespace)
    admission.check_config(wanted, desk.config)
    require_member(desk, wanted.node)
    sha256 = agent.module.sha256
    if args.module is None:
        desk.modules.hold(sha256)
    else:
        admission.check_module_size(len(args.module))
        sha256 = await desk.modules.put(args.module)
    try:
        _signed(desk, agent, sha256, args.signature, own_module=args.module is not None)
        order = _order(agent, args, sha256, reach.namespace)
        job = await desk.jobs.create(UPDATE, order, agent.name)
    except BaseException:
        let_go(desk, sha256)
        raise
    return await answer(desk, job, desk.spawn(_run(desk, job, order)), args.wait_seconds)


def resume(desk: Desk, job: Job) -> None:
    """Goes on with an update that a crash or a restart interrupted."""
    order = msgspec.convert(job.order, Order)
    desk.modules.hold(order.sha256)
    desk.spawn(_run(desk, job, order))


async def rollback(desk: Desk, args: Rollback, reach: Reach = EVERYTHING) -> AgentView:
    """Back to an earlier version, module and configuration; to the version that serves is no error.

    Whoever is bound gets back no grant that it could not give: what an operator took from an agent stays taken.
    """
    require_accepting(desk)
    return await asyncio.shield(desk.spawn(_rollback(desk, args, reach)))


async def _run(desk: Desk, job: Job, order: Order) -> AgentView | CaxtonError:
    return await carry_out(desk, job, order.name, order.sha256, _install(desk, job, order), FAILED_EVENT)


async def _install(desk: Desk, job: Job, order: Order) -> AgentView:
    agent = desk.registry.require(order.name)
    wanted = order.change.applied_to(agent.config)
    path = desk.modules.path(order.sha256)
    job.advance(0.05, "compiling")
    # Without the agent's lock: it may take minutes, and the agent can be stopped or rolled back meanwhile.
    await desk.core.prepare(wanted, order.sha256, path, lambda used: job.advance(compiling(used)))
    async with desk.lock(order.name):
        agent = desk.registry.require(order.name)
        if agent.agent_id != order.agent_id:
            raise CaxtonError(Code.CONFLICT, f"the agent {order.name!r} is another one meanwhile", name=order.name)
        require_etag(agent, order.etag)
        _require_startable(desk, agent, order.strategy)
        await rollouts.settle(desk, agent.name, "another version is on its way")
        job.advance(0.85, "starting")
        other = await _candidate(desk, agent, order)
        counts = (await desk.read(desk.store.reader.ledger)).get(agent.name, Counts())
        side = await _up(desk, agent, other)
        return await _take_over(desk, job, side, order, counts)


async def _candidate(desk: Desk, agent: Agent, order: Order) -> Agent:
    # Bounded again: the agent may have been given more while this was compiled.
    config = bounded(order.change.applied_to(agent.config), order.within)
    limits = admission.check_config(config, desk.config)
    sha256 = order.sha256 if order.own_module else agent.module.sha256
    signed = _signed(desk, agent, sha256, order.signature, own_module=order.own_module)
    module = await desk.core.prepare(config, sha256, desk.modules.path(sha256), lambda _: None)
    admission.check_module(config, limits, module)
    if order.strategy is Strategy.CANARY:
        check_shared(agent.config, agent.module.sha256, config, module.sha256)
    same_code = module.sha256 == agent.module.sha256
    number = desk.versions.newest(agent.name) + 1
    other = candidate(agent, number, config, module, limits, isolated=agent.isolated and same_code)
    other.signature, other.signed_by = signed
    return other


def _signed(
    desk: Desk, agent: Agent, sha256: str, signature: str | None, *, own_module: bool
) -> tuple[str | None, str | None]:
    """The version's signature, and whose it is: what came with it, or that of the module which is here already."""
    if signature is not None or own_module:
        return signature, provenance.require_incoming(desk, agent.name, sha256, signature)
    provenance.require_kept(desk, agent)
    return agent.signature, agent.signed_by


async def _up(desk: Desk, agent: Agent, other: Agent, *, tested: bool = True) -> Box:
    """The other version, started and tested at the agent's side; nothing of it stays when that fails."""
    lanes = desk.core.lanes
    side = lanes.open(agent, other)
    try:
        describe(other, await lanes.start(side))
        if tested and other.config.self_test is not None:
            await self_test_apart(lanes, side, other.config.self_test)
    except Exception:
        await lanes.retire(side, 0.0)
        raise
    return side


async def _take_over(desk: Desk, job: Job, side: Box, order: Order, counts: Counts) -> AgentView:
    """From here to the commit nothing waits: what runs on the new version commits behind the row that names it."""
    agent = desk.registry.require(order.name)
    before, after = agent.version, side.agent.version
    changes = Changes()
    if order.strategy is Strategy.CANARY:
        gone = keep(changes, desk.versions, version_row(side.agent), {before, after})
    else:
        gone = _switch(desk, agent, side, changes)
    if order.strategy is not Strategy.ROLLING:
        row = plan_row(agent, order.strategy, before, after, order.canary, order.blue_green)
        changes.rollouts.append(row)
        rollouts.begin(desk, side, row)
    view = agent_view_with(desk, agent, counts)
    await desk.jobs.finish(job, view, changes)
    discard_modules(desk, gone)
    if order.strategy is Strategy.ROLLING:
        await _let_the_old_end(desk, agent, side)
    kind = "agent.canary_started" if order.strategy is Strategy.CANARY else "agent.updated"
    desk.events.publish(
        kind,
        {
            "name": agent.name,
            "from_version": before,
            "version": after,
            "strategy": order.strategy,
            "module_sha256": (side.agent if order.strategy is Strategy.CANARY else agent).module.sha256,
        },
    )
    return view


def _switch(desk: Desk, agent: Agent, side: Box, changes: Changes) -> set[str]:
    """The version at the side is the agent's now; gives the modules that may go."""
    desk.core.end_quarantine(agent, f"version {side.agent.version} takes its place")
    desk.core.lanes.switch(side)
    if agent.status is AgentStatus.FAILED:
        agent.status, agent.status_reason = AgentStatus.RUNNING, None
    changes.agents.append(agent_row(agent))
    changes.versions.append(version_row(side.agent))
    return keep(changes, desk.versions, version_row(agent), {agent.version, side.agent.version})


async def _let_the_old_end(desk: Desk, agent: Agent, side: Box) -> None:
    if agent.status is AgentStatus.STOPPED:
        await desk.core.drain(agent, 0.0)  # it was started to see that it can be; it stays stopped
    elif agent.status is AgentStatus.RUNNING and not desk.core.is_open(agent.name):
        desk.core.attach(agent)  # it had failed
    desk.spawn(desk.core.lanes.retire(side))


# ---- rollback ------------------------------------------------------------------------------------------------------


async def _rollback(desk: Desk, args: Rollback, reach: Reach) -> AgentView:
    async with desk.lock(args.name):
        agent = desk.registry.require(args.name)
        require_etag(agent, args.etag)
        live = desk.rollouts.live(args.name)
        if live is not None and args.version in (None, live.row.from_version):
            rollouts.require_may_end(live, reach, promoted=False)
            await rollouts.take_back(desk, live, RolloutState.ABORTED, "rolled back")
            return await agent_view(desk, agent)
        _require_startable(desk, agent, Strategy.ROLLING)
        rows = await desk.read(desk.store.reader.versions, args.name)
        row = _chosen(rows, agent, args.version)
        require_bounded(row.config, reach.namespace)
        if row.version != agent.version:
            await rollouts.settle(desk, agent.name, "rolled back to another version")
            await _go_back(desk, agent, row)
        return await agent_view(desk, agent)


async def _go_back(desk: Desk, agent: Agent, row: VersionRow) -> None:
    before = agent.version
    await take_version(desk, agent, row)
    desk.events.publish("agent.rolled_back", {"name": agent.name, "from_version": before, "version": agent.version})


async def take_version(desk: Desk, agent: Agent, row: VersionRow) -> None:
    """The agent becomes a version that was tested when it was new; to be called with the agent's lock."""
    other = agent_of_version(agent, row, desk.config)
    provenance.require_kept(desk, other)
    await desk.core.prepare_kept(desk.modules.path(other.module.sha256), other)
    side = await _up(desk, agent, other, tested=False)  # it was, when it was new; now it must be quick
    changes = Changes()
    discard_modules(desk, _switch(desk, agent, side, changes))
    await desk.core.commit(changes)
    await _let_the_old_end(desk, agent, side)


def _chosen(rows: list[VersionRow], agent: Agent, number: int | None) -> VersionRow:
    """The version of that number; without one the newest before the agent's that no rollout has taken back."""
    found = [row for row in rows if row.version == number]
    if number is None:
        found = [row for row in rows if row.version < agent.version and row.returned is None][-1:]
    if not found:
        raise no_version(agent.name, number, [row.version for row in rows])
    return found[0]


# ---- small parts ---------------------------------------------------------------------------------------------------


def _order(agent: Agent, args: Update, sha256: str, within: str | None) -> Order:
    canary = args.strategy is Strategy.CANARY
    blue_green = args.strategy is Strategy.BLUE_GREEN
    return Order(
        name=agent.name,
        agent_id=agent.agent_id,
        change=args.change,
        sha256=sha256,
        own_module=args.module is not None,
        strategy=args.strategy,
        canary=(args.canary or Canary()) if canary else None,
        blue_green=(args.blue_green or BlueGreen()) if blue_green else None,
        etag=args.etag,
        within=within,
        signature=args.signature,
    )


def _require_change(args: Update) -> None:
    """Something changes, and what is said about the rollout belongs to its strategy."""
    if args.module is None and args.signature is None and args.change == ConfigChange():
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "nothing changes: give a module, or a field of the configuration",
            path="wasm_module",
            expected=["wasm_module", "wat", *ConfigChange.__struct_fields__],
        )
    for strategy, given in ((Strategy.CANARY, args.canary), (Strategy.BLUE_GREEN, args.blue_green)):
        if given is not None and args.strategy is not strategy:
            raise CaxtonError(
                Code.INVALID_REQUEST,
                f"{strategy}: it belongs to the strategy {strategy}, not to {args.strategy}",
                path=strategy.value,
                found=args.strategy,
                expected=strategy,
            )


def _require_startable(desk: Desk, agent: Agent, strategy: Strategy) -> None:
    """A canary is ended before there is a third version; nothing is kept beside an agent that does not run."""
    desk.rollouts.require_alone(agent.name)
    if strategy is not Strategy.ROLLING and agent.status not in rollouts.RUNNING:
        raise CaxtonError(
            Code.AGENT_STOPPED,
            f"agent {agent.name!r} is {agent.status}; start it first, or use the strategy rolling",
            name=agent.name,
            status=agent.status,
        )
