"""Rollouts: two versions of an agent up at once, until one of them is the only one again.

Owns their watching and their end, and that they go on after a restart: the row is written with whatever it changes;
one that was running is taken up again, or ended with the reason. Must never lose a message: both versions serve one
mailbox. All that changes a rollout holds the agent's lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, Final

import msgspec

from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named
from caxton.protocol.versions import BlueGreen, Canary, RolloutState, RolloutView, Steer, Strategy
from caxton.protocol.views import AgentView
from caxton.router import provenance
from caxton.router.access.bounds import require_bounded
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.boxes import Box
from caxton.router.desk import Desk
from caxton.router.rows import agent_row
from caxton.router.versions.kept import agent_of_version, no_version, version_row
from caxton.router.versions.lanes import lane_of
from caxton.router.versions.live import Live
from caxton.router.versions.verdicts import Verdict, verdict
from caxton.router.views import agent_view, require_etag, rollout_view
from caxton.store import Changes, RolloutRow

LOOK_SECONDS: Final = 0.05
"""A canary is judged at most this often, but at once when an execution of it has failed."""
RUNNING: Final = frozenset({AgentStatus.RUNNING, AgentStatus.QUARANTINED})

log = logging.getLogger(__name__)


async def show(desk: Desk, args: Named) -> RolloutView:
    """The latest rollout; `NOT_FOUND` when there never was one with two versions up."""
    desk.registry.require(args.name)
    row = desk.rollouts.row(args.name)
    if row is None:
        raise CaxtonError(Code.NOT_FOUND, f"{args.name!r} had no canary or blue_green rollout yet", name=args.name)
    return rollout_view(row)


async def steer(desk: Desk, args: Steer, reach: Reach = EVERYTHING) -> AgentView:
    """Ends the rollout that runs, by hand; `CONFLICT` when there is none."""
    return await asyncio.shield(desk.spawn(_steer(desk, args, reach)))


def require_may_end(live: Live, reach: Reach, *, promoted: bool) -> None:
    """`FORBIDDEN` when the version at the side would serve, and has grants that the caller could not give."""
    if promoted is (live.row.strategy is Strategy.CANARY):
        require_bounded(live.side.agent.config, reach.namespace)


async def _steer(desk: Desk, args: Steer, reach: Reach) -> AgentView:
    async with desk.lock(args.name):
        agent = desk.registry.require(args.name)
        require_etag(agent, args.etag)
        live = desk.rollouts.live(args.name)
        if live is None:
            raise CaxtonError(
                Code.CONFLICT, f"no rollout of {args.name!r} is under way", path="action", found=args.action
            )
        require_may_end(live, reach, promoted=args.action == "promote")
        if args.action == "promote":
            await promote(desk, live, "promoted by hand")
        else:
            await take_back(desk, live, RolloutState.ABORTED, "aborted by hand")
        return await agent_view(desk, agent)


def begin(desk: Desk, side: Box, row: RolloutRow) -> None:
    """A rollout runs from now on; the caller has its row written."""
    live = Live(row, side)
    if row.canary is not None:
        salt = f"{row.agent_id}/{row.to_version}"
        live.new, live.old = desk.core.lanes.share(side, lane_of(row.canary.percent, salt))
    desk.rollouts.begin(live)
    live.task = desk.spawn(_watch(desk, live))


async def promote(desk: Desk, live: Live, reason: str) -> None:
    """The new version is the only one."""
    agent = desk.registry.require(live.row.name)
    row = live.ended(RolloutState.PROMOTED, reason)
    changes = Changes(rollouts=[row])
    if row.strategy is Strategy.CANARY:
        desk.core.end_quarantine(agent, f"version {live.side.agent.version} takes its place")
        desk.core.lanes.switch(live.side)
        changes.agents.append(agent_row(agent))
        changes.versions += [version_row(agent), version_row(live.side.agent)]
    await _end(desk, live, row, changes, "agent.promoted")


async def take_back(desk: Desk, live: Live, state: RolloutState, reason: str) -> None:
    """The old version is the only one, at once: it never stopped."""
    agent = desk.registry.require(live.row.name)
    row = live.ended(state, reason)
    changes = Changes(rollouts=[row])
    if row.strategy is Strategy.CANARY:
        changes.versions.append(version_row(live.side.agent, returned=reason))
        desk.core.lanes.unshare(live.side)
    else:
        changes.versions.append(version_row(agent, returned=reason))
        desk.core.lanes.switch(live.side)
        changes.agents.append(agent_row(agent))
    kind = "agent.canary_returned" if state is RolloutState.RETURNED else "agent.rollout_aborted"
    await _end(desk, live, row, changes, kind)


async def settle(desk: Desk, name: str, reason: str) -> None:
    """A rollout, or a replay, cannot go on: the version that is current stays. None is no error."""
    desk.rollouts.replays.pop(name, None)
    live = desk.rollouts.live(name)
    if live is not None and live.row.strategy is Strategy.CANARY:
        await take_back(desk, live, RolloutState.ABORTED, reason)
    elif live is not None:
        await promote(desk, live, reason)


async def _end(desk: Desk, live: Live, row: RolloutRow, changes: Changes, kind: str) -> None:
    """Makes the end durable and known. Memory is changed already: what runs meanwhile commits behind this."""
    desk.rollouts.end(row)
    if live.task is not None and live.task is not asyncio.current_task():
        live.task.cancel()
    desk.spawn(desk.core.lanes.retire(live.side))
    await desk.core.commit(changes)
    desk.events.publish(kind, _told(row))


async def _watch(desk: Desk, live: Live) -> None:
    reached = await _judged(live) if live.row.canary is not None else await _kept(live)
    async with desk.lock(live.row.name):
        if desk.rollouts.live(live.row.name) is not live:
            return
        if reached.promote:
            await promote(desk, live, reached.reason)
        else:
            await take_back(desk, live, RolloutState.RETURNED, reached.reason)


async def _judged(live: Live) -> Verdict:
    plan, new, old = live.row.canary, live.new, live.old
    assert plan is not None and new is not None and old is not None  # noqa: PT018  # `begin` made them together
    end = live.row.started_at + plan.duration_seconds
    while True:
        new.changed.clear()
        left = end - time.time()
        reached = verdict(plan, new.figures(), old.figures(), over=left <= 0)
        if reached is not None:
            return reached
        failed = new.failed
        with suppress(TimeoutError):
            await asyncio.wait_for(new.changed.wait(), left if left > 0 else None)
        if new.failed == failed:
            await asyncio.sleep(LOOK_SECONDS)


async def _kept(live: Live) -> Verdict:
    plan = live.row.blue_green or BlueGreen()
    await asyncio.sleep(max(0.0, live.row.started_at + plan.keep_seconds - time.time()))
    return Verdict(True, f"nobody went back within {plan.keep_seconds:g} s")


# ---- after a restart -----------------------------------------------------------------------------------------------


async def resume(desk: Desk, row: RolloutRow) -> None:
    """Brings the version at the side up again; a canary is counted afresh. If that fails, the rollout ends."""
    async with desk.lock(row.name):
        agent = desk.registry.get(row.name)
        if agent is None or agent.agent_id != row.agent_id or desk.rollouts.live(row.name) is not None:
            return
        try:
            if agent.status not in RUNNING:
                raise CaxtonError(Code.AGENT_STOPPED, f"the agent is {agent.status}")
            side = await beside(desk, row.name, row.to_version if row.canary is not None else row.from_version)
        except CaxtonError as error:
            await _given_up(desk, row, f"not taken up after a restart: {error.code}: {error.message}"[:1_000])
            return
        begin(desk, side, row)


async def beside(desk: Desk, name: str, version: int) -> Box:
    """A kept version, started at its agent's side; `INVALID_REQUEST` when it is not kept."""
    agent = desk.registry.require(name)
    rows = {row.version: row for row in await desk.read(desk.store.reader.versions, name)}
    if version not in rows:
        raise no_version(name, version, sorted(rows))
    other = agent_of_version(agent, rows[version], desk.config)
    provenance.require_kept(desk, other)
    await desk.core.prepare_kept(desk.modules.path(other.module.sha256), other)
    side = desk.core.lanes.open(agent, other)
    try:
        await desk.core.lanes.start(side)
    except Exception:
        await desk.core.lanes.retire(side, 0.0)
        raise
    return side


async def _given_up(desk: Desk, row: RolloutRow, reason: str) -> None:
    canary = row.strategy is Strategy.CANARY
    state = RolloutState.RETURNED if canary else RolloutState.PROMOTED
    ended = msgspec.structs.replace(row, state=state, reason=reason, ended_at=time.time())
    desk.rollouts.end(ended)
    await desk.core.commit(Changes(rollouts=[ended]))
    desk.events.publish("agent.canary_returned" if canary else "agent.promoted", _told(ended))


def _told(row: RolloutRow) -> dict[str, Any]:
    """What an event says of a rollout: the numbers, too."""
    plan: Canary | BlueGreen | None = row.canary or row.blue_green
    return {
        "name": row.name,
        "strategy": row.strategy,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "reason": row.reason,
        "plan": msgspec.to_builtins(plan),
        "new": msgspec.to_builtins(row.new),
        "old": msgspec.to_builtins(row.old),
    }
