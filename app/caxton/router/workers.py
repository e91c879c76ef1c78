"""The workers of the executor, as they come and go.

Owns which workers there are, which one an agent runs on, and the end of a worker: its flights are handed
over once both its socket is at its end and the supervisor has said why. Must never decide what becomes of
a lost execution.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

from caxton.config import Runtime
from caxton.protocol.agents import Instance
from caxton.protocol.control import KillWorker, RecycleWorker, ToSupervisor, WorkerDown, WorkerUp
from caxton.protocol.execution import Load, Pressure, Room, RouterFrame, WorkerFrame
from caxton.router.boxes import Box, Flight, Worker
from caxton.router.groups import Groups
from caxton.router.links import WorkerLink
from caxton.router.meters import Meters
from caxton.router.quarters import own_of, quarters_of
from caxton.router.recycling import Recycling

_EOF_SECONDS: Final = 1.0  # a dead worker's socket ends at once; only a leaked descriptor could hold it open

_BY_ITSELF: Final = ("crashed", "killed_syscall")
"""Ends that a guest may have brought about without anybody here having seen which."""

Lost = Callable[[Flight, str, bool], None]
"""Called for every flight of an ended worker: flight, reason, whether it is the culprit."""


class Workers:
    """`received(worker, frames)` gets frames, `lost` the flights of dead workers, `changed` any new worker."""

    def __init__(
        self,
        send: Callable[[ToSupervisor], bool],
        received: Callable[[Worker, list[WorkerFrame]], None],
        lost: Lost,
        changed: Callable[[], None],
        emit: Callable[[str, dict[str, Any]], None],
        meters: Meters,
        runtime: Runtime,
    ) -> None:
        self._meters = meters
        self._send = send
        self._received = received
        self._lost = lost
        self._changed = changed
        self._emit = emit
        self._workers: dict[int, Worker] = {}
        self._isolation = runtime.isolation
        self._adopting: set[asyncio.Task[None]] = set()
        self._pressure = Pressure([], False)
        self._room = Room()
        self.recycling = Recycling(send)
        self.groups = Groups(send, changed, runtime.executor_workers, runtime.agent_idle_timeout)

    def __len__(self) -> int:
        return len(self._workers)

    def all(self) -> list[Worker]:
        """Every worker that is known, those on their way out included."""
        return list(self._workers.values())

    def standing(self) -> list[Worker]:
        """The usable workers of the standing pool."""
        return [worker for worker in self._workers.values() if worker.usable and not worker.tag]

    def place(self, box: Box) -> Worker | None:
        """The worker on which this agent's next execution runs; None = none is there yet."""
        if box.worker is not None:
            if box.worker.usable:
                return box.worker
            if box.worker.leaving and box.running:
                return None  # one instance at a time: what the old one does ends first
            box.worker = None
        quarters = quarters_of(box.spec, isolated=box.agent.isolated, isolation=self._isolation)
        worker = self._least_loaded(box, quarters.tag)
        if quarters.tag and (worker is None or worker.flights):
            self.groups.want(quarters, self._workers.values())
        if worker is not None and box.agent.instance is Instance.PERSISTENT:
            box.worker = worker
            worker.pinned += 1
        return worker

    def unpin(self, box: Box) -> None:
        """The agent has no place any more; its next execution finds one."""
        if box.worker is not None:
            box.worker.pinned -= 1
            box.worker = None

    def load(self, worker: Worker, box: Box) -> None:
        """Makes the agent known to the worker, once."""
        if box.handle not in worker.loaded and worker.link is not None:
            worker.loaded.add(box.handle)
            worker.link.send(Load(box.handle, box.spec))

    def press(self, full: list[str], node_full: bool) -> None:
        """Tells every worker whose mailboxes are full."""
        self._pressure = Pressure(full, node_full)
        self._tell_all(self._pressure)

    def make_room(self, left: int | None, away: list[str]) -> None:
        """Tells every worker what the outbox still takes, and for whom, which is sent only when it is news."""
        same = away == self._room.away
        self._room = Room(left, away)
        self._tell_all(Room(left) if same else self._room)

    def _tell_all(self, frame: RouterFrame) -> None:
        for worker in self._workers.values():
            if worker.usable and worker.link is not None:
                worker.link.send(frame)

    def kill(self, worker: Worker) -> None:
        """SIGKILL by the supervisor; its flights come back by `lost`."""
        self._send(KillWorker(worker.worker_id))

    def retire(self, agent: str) -> None:
        """Ends the own worker of an agent that is gone."""
        for worker in self._workers.values():
            if own_of(worker.tag, agent) and worker.usable:
                worker.usable = False
                self._send(RecycleWorker(worker.worker_id, replace=False))

    def up(self, frame: WorkerUp, fd: int | None) -> None:
        """The supervisor has a new worker for us."""
        if fd is None:
            return
        task = asyncio.ensure_future(self._adopt(frame, fd))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    def down(self, frame: WorkerDown) -> None:
        """The supervisor says that a worker ended, and why."""
        worker = self._workers.get(frame.worker_id)
        if worker is None:
            self.groups.ended(frame.tag)
            return
        worker.usable = False
        worker.down = (frame.reason, frame.culprit)
        if worker.link is None:
            self._end(worker)
        else:
            asyncio.get_running_loop().call_later(_EOF_SECONDS, worker.link.close)

    def all_lost(self) -> None:
        """The supervisor is gone, and every worker with it."""
        self.groups.all_lost()
        for worker in self.all():
            worker.usable = False
            worker.down = worker.down or ("supervisor_lost", None)
            if worker.link is None:
                self._end(worker)
            else:
                worker.link.close()

    async def _adopt(self, frame: WorkerUp, fd: int) -> None:
        worker = Worker(frame.worker_id, frame.pid, frame.tag, frame.version)
        self._workers[frame.worker_id] = worker
        try:
            worker.link = await WorkerLink.adopt(
                fd, lambda frames: self._received(worker, frames), lambda: self._socket_ended(worker)
            )
        except OSError:
            os.close(fd)
            worker.usable = False
            return
        self.groups.came(frame.tag)
        worker.link.send(self._pressure)
        if self._room.left is not None:
            worker.link.send(self._room)
        self.recycling.arrived(worker, self.all())
        self._changed()

    def _socket_ended(self, worker: Worker) -> None:
        worker.usable = False
        worker.link = None
        if worker.down is not None:
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        if self._workers.pop(worker.worker_id, None) is None:
            return
        assert worker.down is not None
        reason, culprit = worker.down
        self._meters.worker_ends[reason] += 1
        self._meters.instances.worker_ended(reason, worker.stats.resident if worker.stats else 0)
        flights = sorted(worker.flights.values(), key=lambda flight: flight.exec_id, reverse=True)
        worker.flights.clear()
        self._tell(worker, flights)
        known = any(flight.exec_id == culprit for flight in flights)
        for flight in flights:  # youngest first: each goes back to the head, so the oldest ends up first
            self._lost(
                flight, reason if known or reason not in _BY_ITSELF else "crashed_unknown", flight.exec_id == culprit
            )
        self._changed()

    def _tell(self, worker: Worker, flights: list[Flight]) -> None:
        """`worker.killed` or `worker.crashed`, with the agent that is to blame where one is known."""
        reason, culprit = worker.down or ("", None)
        kind = reason.partition("_")[0]
        if kind not in ("killed", "crashed"):
            return
        agent = next((flight.box.agent.name for flight in flights if flight.exec_id == culprit), None)
        self._emit(
            f"worker.{kind}",
            {"worker_id": worker.worker_id, "pid": worker.pid, "tag": worker.tag, "reason": reason, "agent": agent},
        )

    def _least_loaded(self, box: Box, tag: str) -> Worker | None:
        persistent = box.agent.instance is Instance.PERSISTENT
        best: Worker | None = None
        least = 0
        for worker in self._workers.values():
            if not worker.usable or worker.tag != tag or worker.link is None:
                continue
            weight = worker.pinned if persistent else len(worker.flights)
            if best is None or weight < least:
                best, least = worker, weight
        return best
