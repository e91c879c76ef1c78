"""Agents moving in and out of the hot half: start, attach, drain, detach, and their waiting messages.

Owns what happens to an agent's mailbox around its life. Must never write an agent's status: deployments do.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final

from caxton.config import Config
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec, End, Result
from caxton.protocol.messages import State
from caxton.protocol.snapshots import STATE
from caxton.router.admission import records
from caxton.router.agents import Agent
from caxton.router.boxes import Box, Boxes, Worker
from caxton.router.commits import Commits
from caxton.router.dispatch import Dispatch
from caxton.router.executor import Executor
from caxton.router.intake import new_entry
from caxton.router.mailbox import Place
from caxton.router.outcomes import Outcomes
from caxton.router.pressure import Pressures
from caxton.router.scheduler import Scheduler
from caxton.router.supervision.holds import places
from caxton.router.timing.alarms import Alarms
from caxton.router.timing.schedules import Schedules
from caxton.router.timing.timers import Timers
from caxton.store import Changes, MessageRow, TimerRow
from caxton.store.reader import Reader

_KILL_SECONDS: Final = 3.0  # after a cancel: one slice for the willing, a kill by the supervisor for the others
_REMOVED: Final = "the agent was removed before the message could be handled"
WORKER_SECONDS: Final = 10.0
"""A worker that has to be started first is waited for at least so long."""


class Tenancy:
    """One call per step of an agent's life; the caller serialises the steps of one agent."""

    def __init__(
        self,
        boxes: Boxes,
        executor: Executor,
        scheduler: Scheduler,
        dispatch: Dispatch,
        outcomes: Outcomes,
        pressures: Pressures,
        alarms: Alarms,
        timers: Timers,
        schedules: Schedules,
        commits: Commits,
        reader: Reader,
    ) -> None:
        self._boxes = boxes
        self._executor = executor
        self._scheduler = scheduler
        self._dispatch = dispatch
        self._outcomes = outcomes
        self._pressures = pressures
        self._alarms = alarms
        self._timers = timers
        self._schedules = schedules
        self._commits = commits
        self._reader = reader
        self._changed = asyncio.Event()

    def workers_changed(self) -> None:
        """A worker or a module has become available."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def start(self, agent: Agent) -> Result:
        """Starts an instance; raises the agent's own error, or `AGENT_FAILED`/`EXECUTION_TIMEOUT`."""
        return await self.start_in(self.box(agent))

    async def start_in(self, box: Box) -> Result:
        """The same for the version that a box stands for."""
        agent = box.home.agent
        worker = await self.placed(box, self._boxes.config.runtime.agent_startup_timeout)
        result = await self._dispatch.start(box, worker)
        agent.incarnation = max(agent.incarnation, result.incarnation)
        self._commits.changes.incarnations[agent.name] = agent.incarnation
        if result.status != "ok":
            raise CaxtonError(
                Code(result.code)
                if result.code is not None and result.code in Code.__members__
                else Code.AGENT_FAILED,
                result.detail or "the agent could not be started",
                exit_code=result.exit_code,
                backtrace=result.backtrace,
            )
        return result

    def attach_all(self, agents: list[Agent], held: Callable[[Agent], bool] = lambda _: False) -> None:
        """Attaches many agents, reading the timers and what is pending once, not once for each."""
        fresh = {agent.name: agent for agent in agents if self._boxes.get(agent.name) is None}
        boxes = {name: self._boxes.add(agent, spec_of(agent, self._boxes.config)) for name, agent in fresh.items()}
        for name, box in boxes.items():
            box.held = held(fresh[name])
        self._recover_pending(boxes)
        timers: dict[str, list[TimerRow]] = {}
        for row in self._reader.timers():
            timers.setdefault(row.agent, []).append(row)
        for agent in agents:
            self._open(agent, timers.get(agent.name, []))

    def attach(self, agent: Agent) -> None:
        """Opens the mailbox: what is pending on disk is scheduled, timers that are due fire."""
        self._open(agent, self._reader.timers(agent.name))

    def _open(self, agent: Agent, timers: list[TimerRow]) -> None:
        box = self.box(agent)
        self._outcomes.supervision.restore(box)
        box.open = True
        if box.held:
            return  # nothing of its own comes due either
        for row in timers:
            self._timers.set(row.agent, row.timer_id, row.due)
        self._schedules.attach(box)
        self._alarms.set(box)
        self._scheduler.wake(box)

    def hold(self, agent: Agent) -> Box:
        """The agent takes messages, and runs none until `release`; nothing of its own comes due."""
        box = self.box(agent)
        box.held = True
        self._timers.forget(agent.name)
        self._schedules.forget(agent.name)
        return box

    def release(self, agent: Agent) -> None:
        """It goes on."""
        box = self._boxes.get(agent.name)
        if box is not None and box.held:
            box.held = False
            if box.open:
                self.attach(agent)

    async def still(self, box: Box, grace_seconds: float) -> None:
        """What a held agent runs ends or goes back to its mailbox, its instance ends, and all of it is on disk."""
        for each in (box, *box.sides):
            await self._stop_running(each, grace_seconds)
            await self._end_instance(each)
        await self._commits.written()

    def reschedule(self, box: Box) -> None:
        """Another version of the agent serves now: it has its own schedules."""
        if box.open:
            self._schedules.replace(box)

    async def drain(self, agent: Agent, grace_seconds: float) -> None:
        """No new executions; those that run have `grace_seconds`, then they are cancelled; the instance ends."""
        box = self._boxes.get(agent.name)
        if box is None:
            return
        box.open = False
        self._timers.forget(agent.name)
        self._schedules.forget(agent.name)
        box.mailbox.split(None)
        await asyncio.gather(*(self.end(each, grace_seconds) for each in (box, *box.sides)))

    async def end(self, box: Box, grace_seconds: float | None) -> None:
        """What one version runs ends, however long it takes without a `grace_seconds`; then its instance ends."""
        box.open = False
        if grace_seconds is None:
            await box.idle.wait()
        else:
            await self._stop_running(box, grace_seconds)
        await self._end_instance(box)

    async def _stop_running(self, box: Box, grace_seconds: float) -> None:
        for flight in box.followers():  # they wait in the worker and have not begun
            self._dispatch.cancel(flight)
        if not await _within(box.idle, grace_seconds):
            for flight in list(box.running.values()):
                self._dispatch.cancel(flight)
            if not await _within(box.idle, _KILL_SECONDS):
                for worker in {flight.worker for flight in box.running.values()}:
                    self._executor.workers.kill(worker)
                await box.idle.wait()

    def detach(self, agent: Agent) -> None:
        """Forgets the agent; rows on disk stay as they are."""
        box = self._boxes.get(agent.name)
        if box is None:
            return
        box.open = False
        self._timers.forget(agent.name)
        self._schedules.forget(agent.name)
        for each in (box, *box.sides):
            self._forget_on_workers(each, orderly=False)
        self._executor.workers.retire(agent.name)
        self._pressures.dropped(box)
        self._boxes.drop(agent.name)

    async def discard_pending(self, agent: Agent, *, purge: bool, remove: bool = False) -> int:
        """Moves all that waits to the dead letters, or forgets it; gives how many messages that were.

        With `remove` the agent's own rows go in the same transaction.
        """
        box = self.box(agent)
        await self._commits.drain()
        gone = [entry for entry in box.mailbox.entries() if entry.place is not Place.OUT]
        for entry in gone:
            self._outcomes.give_up(box, entry, Code.AGENT_STOPPED, _REMOVED)
        if purge:
            self._commits.changes.forget.extend(entry.message_id for entry in gone)
        if remove:
            self._outcomes.noted.pop(agent.name, None)
            self._commits.changes.agents_removed.append(agent.name)
        await self._commits.written()
        return len(gone)

    def end_idle(self, excess_bytes: int) -> int:
        """Ends warm instances that do nothing, the longest idle first; gives how many."""
        ended = 0
        for box in sorted(self._boxes.versions(), key=lambda box: box.used_at):
            worker = box.worker
            if not box.resident or box.running or worker is None or worker.link is None or not worker.usable:
                continue
            if excess_bytes <= 0:
                break
            worker.link.send(End(box.handle, orderly=not box.spec.snapshot))  # a hibernated agent has not ended
            box.resident = False
            excess_bytes -= box.agent.peak_memory_bytes
            ended += 1
        return ended

    async def revive(self, message_ids: list[str], content: bytes | None = None) -> int:
        """Puts dead letters of agents that are here back into their mailboxes, others' into the outbox; how many.

        One that held up its conversation comes first there, and the others go on behind it.
        """
        rows = (self._reader.message(message_id) for message_id in message_ids)
        wanted = [
            row.message.message_id
            for row in rows
            if row is not None
            and row.state is State.DEAD
            and not row.content_dropped
            and self._has_a_place(row.message.receiver)
        ]
        if not wanted:
            return 0
        held = self._reader.held_by(wanted)
        edits = [] if content is None else [(message_id, content) for message_id in wanted]
        result = await self._commits.apart(Changes(revive=wanted, edits=edits, released=places(held)))
        revived = [message_id for message_id in wanted if message_id not in result.missed]
        for message_id in revived:
            row = self._reader.message(message_id)
            box = self._boxes.get(row.message.receiver) if row is not None else None
            if row is None or message_id in self._boxes.live:
                continue
            if box is not None and not self._leaves(row):
                self._recover(box, row, first=any(one.message_id == message_id for one in held))
                self._scheduler.wake(box)
            elif self._boxes.elsewhere is not None:
                self._boxes.elsewhere.take_up(row)
        self._outcomes.holds.released(held)
        return len(revived)

    def _has_a_place(self, receiver: str) -> bool:
        """Whether there is a mailbox for it, here or elsewhere."""
        elsewhere = self._boxes.elsewhere
        return self._boxes.get(receiver) is not None or (
            elsewhere is not None and elsewhere.load(receiver) is not None
        )

    def box(self, agent: Agent) -> Box:
        """The agent's box; a new one gets what is pending on disk."""
        box = self._boxes.get(agent.name)
        if box is not None:
            box.agent = agent
            return box
        box = self._boxes.add(agent, spec_of(agent, self._boxes.config))
        self._recover_pending({agent.name: box}, agent.name)
        return box

    def _recover_pending(self, boxes: dict[str, Box], only: str | None = None) -> None:
        """Puts what is pending on disk into these mailboxes, which are new."""
        self._outcomes.holds.restore(boxes, only)
        for row in self._reader.waiting(only):
            if (box := boxes.get(row.message.receiver)) is not None and not self._leaves(row):
                self._recover(box, row)

    def _leaves(self, row: MessageRow) -> bool:
        """Whether another node handles it, or may have it already."""
        elsewhere = self._boxes.elsewhere
        return elsewhere is not None and (row.message.message_id in self._boxes.live or elsewhere.claims(row.message))

    def _recover(self, box: Box, row: MessageRow, *, first: bool = False) -> None:
        entry = new_entry(row.message, row.delivery, row.accepted_at, row.digest, row.attempts)
        entry.handed = row.handed
        entry.ready_at = row.next_at if row.next_at is not None and row.next_at > time.time() else 0.0
        self._boxes.remember(entry)
        if first:
            box.mailbox.put_first(entry)
        else:
            box.mailbox.put(entry)
        self._alarms.set(box)
        self._pressures.grown(box)

    async def placed(self, box: Box, timeout: float) -> Worker:
        """A worker for a box, once there is one; `NOT_READY` after `timeout` seconds, or when none can be started.

        What an agent may take to start says nothing about a worker that has to be started for it.
        """
        deadline = asyncio.get_running_loop().time() + max(timeout, WORKER_SECONDS)
        while (worker := self._executor.place(box)) is None:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or not await _within(self._changed, left):
                raise CaxtonError(Code.NOT_READY, "no worker of the executor is ready", retry_after_seconds=1)
        return worker

    async def _end_instance(self, box: Box) -> None:
        box.gone.clear()
        orderly = box.resident
        if self._forget_on_workers(box, orderly=orderly) and orderly:
            await _within(box.gone, self._boxes.config.runtime.agent_shutdown_timeout + _KILL_SECONDS)
        self._boxes.renumber(box)
        box.resident = False

    def _forget_on_workers(self, box: Box, *, orderly: bool) -> bool:
        """Whether any worker knew the agent: none does when the one that had it has ended."""
        known = False
        self._executor.workers.unpin(box)
        for worker in self._executor.workers.all():
            if box.handle in worker.loaded:
                worker.loaded.discard(box.handle)
                if worker.link is not None:
                    worker.link.send(End(box.handle, orderly, True))
                    known = True
        return known


def spec_of(agent: Agent, config: Config) -> AgentSpec:
    """What a worker must know about the agent."""
    made, grants = agent.config, agent.config.grants
    return AgentSpec(
        name=agent.name,
        version=agent.version,
        module_sha256=agent.module.sha256,
        shape=agent.shape,
        instance=agent.instance,
        profile=made.profile,
        limits=agent.limits,
        node=socket.gethostname(),
        input=made.input,
        output=made.output,
        args=made.args,
        env=made.env,
        config=made.config,
        send=grants.send,
        kv=grants.kv,
        clocks=grants.clocks,
        random=grants.random,
        scratch=grants.scratch,
        topics=grants.topics,
        http=grants.http,
        secrets=grants.secrets,
        dirs=grants.dirs,
        max_message_bytes=config.messaging.max_message_size,
        memories=agent.module.memories,
        startup_timeout_seconds=config.runtime.agent_startup_timeout,
        shutdown_timeout_seconds=config.runtime.agent_shutdown_timeout,
        snapshot=made.state == STATE,
        record=records(made),
    )


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
