"""Executions under way: how they begin on a worker, and how they leave it.

Owns the table of flights and their numbers. Must never decide what a result means (`results`), what a
host call answers (`hostcalls`) or whose turn it is (`scheduler`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b
from itertools import count

import msgspec

from caxton.protocol.agents import Instance, Profile
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import (
    Cancel,
    Execute,
    Gone,
    HostCall,
    Result,
    Start,
    Suspended,
    WorkerFrame,
    WorkerStats,
)
from caxton.protocol.messages import Message
from caxton.protocol.names import TIMER_PREFIX
from caxton.router.boxes import Box, Boxes, Flight, Worker
from caxton.router.mailbox import Entry
from caxton.router.meters import Meters
from caxton.router.scheduler import Scheduler
from caxton.router.tracing import spans
from caxton.router.workers import Workers
from caxton.store.reader import Reader

_encoder = msgspec.msgpack.Encoder()

_QUICK_SECONDS = 0.005
_MEASURED = ("ok", "failure", "error")


class Dispatch:
    """Starts executions and takes them off their workers again."""

    def __init__(self, boxes: Boxes, workers: Workers, scheduler: Scheduler, reader: Reader, meters: Meters) -> None:
        self._meters = meters
        self._boxes = boxes
        self._workers = workers
        self._scheduler = scheduler
        self._reader = reader
        self._numbers = count(1)
        self.on_result: Callable[[Flight, Result], None]
        self.on_host_call: Callable[[Flight, HostCall], None]
        self.on_lost: Callable[[Flight, str, bool], None]
        self.on_awake: Callable[[Flight], None] = lambda flight: None
        """The execution no longer waits for anything (it goes on, or has ended)."""
        self.on_begin: Callable[[Box, Worker], None] = lambda box, worker: None
        """A message is about to be sent to the version's instance."""
        self.on_gone: Callable[[Box], None] = lambda box: None
        """The agent's instance left memory."""
        self.executions = 0
        self._is_closed = False

    def close(self) -> None:
        """What workers say from now on counts for nothing: it could not be written."""
        self._is_closed = True

    def begin(self, box: Box, entry: Entry, worker: Worker) -> None:
        """Sends one message to its worker. The scheduler has counted it as runnable already."""
        message = entry.message or self._read_again(entry)
        self.on_begin(box, worker)
        flight = self._flight(box, entry, worker)
        flight.reply_to = message
        if box.home.gate is not None:
            box.home.gate.probe = entry
        if box.agent.instance is Instance.PERSISTENT and len(box.running) > 1:
            flight.sleeping = True  # it waits in the worker, behind the one that has the instance
            self._scheduler.runnable -= 1
        entry.exec_id = flight.exec_id
        assert worker.link is not None
        worker.link.send(
            Execute(
                flight.exec_id,
                box.handle,
                flight.incarnation,
                _encoder.encode(message),
                _timer_id(entry.sender),
                _seed(box, entry.message_id),
            )
        )

    def start(self, box: Box, worker: Worker) -> asyncio.Future[Result]:
        """Instantiates the agent on a worker; the future gets its `Result`."""
        if box.side_of is None:
            box.memory_of = box.handle
        started = self._apart(box, worker, lambda flight: Start(flight.exec_id, box.handle, flight.incarnation))
        started.add_done_callback(self._meters.instances.started)
        return started

    def run_apart(self, box: Box, message: Message, worker: Worker) -> asyncio.Future[Result]:
        """Runs a message that is in no mailbox; the future gets its `Result`, and nothing comes of that."""
        body = _encoder.encode(message)
        return self._apart(box, worker, lambda flight: Execute(flight.exec_id, box.handle, flight.incarnation, body))

    def _apart(self, box: Box, worker: Worker, frame: Callable[[Flight], Start | Execute]) -> asyncio.Future[Result]:
        flight = self._flight(box, None, worker)
        flight.started = asyncio.get_running_loop().create_future()
        self._scheduler.runnable += 1
        assert worker.link is not None
        worker.link.send(frame(flight))
        return flight.started

    def cancel(self, flight: Flight) -> None:
        """Asks for the execution's end at its next slice."""
        if flight.worker.link is not None:
            flight.worker.link.send(Cancel(flight.exec_id))

    def received(self, worker: Worker, frames: list[WorkerFrame]) -> None:
        """Every frame of one read of a worker's socket."""
        if self._is_closed:
            return
        flights = worker.flights
        for frame in frames:
            if isinstance(frame, Result):
                flight = flights.get(frame.exec_id)
                if flight is not None:
                    self._ended(flight, frame)
            elif isinstance(frame, HostCall):
                flight = flights.get(frame.exec_id)
                if flight is not None:
                    self.on_host_call(flight, frame)
            elif isinstance(frame, Suspended):
                flight = flights.get(frame.exec_id)
                if flight is not None:
                    self.sleeps(flight, frame.sleeping)
            elif isinstance(frame, WorkerStats):
                self._workers.recycling.look(worker, frame)
                self._workers.groups.look(worker)
            else:
                self._instance_gone(worker, frame)

    def sleeps(self, flight: Flight, sleeping: bool) -> None:
        """Executions that sleep do not count on the node."""
        if flight.sleeping is not sleeping:
            flight.sleeping = sleeping
            if not sleeping:
                self.on_awake(flight)
            self._scheduler.runnable += -1 if sleeping else 1
            self._scheduler.plan()

    def lost(self, flight: Flight, reason: str, culprit: bool) -> None:
        """The worker of this flight is no more."""
        if self._is_closed:
            return
        self._take_off(flight)
        box = flight.box
        box.resident = False
        box.floor = max(box.floor, flight.incarnation)  # the dead instance may have had this number
        code = Code.EXECUTION_TIMEOUT if reason == "killed_timeout" and culprit else Code.AGENT_FAILED
        if box.account is not None and culprit:
            box.account.spent(time.time() - flight.dispatched_at)  # nobody is left to say how much of it
        if flight.started is None:
            self._meters.lost(box.home.agent.name, code if culprit else None)
            flight.home.agent.lost(culprit)
            if box.gauge is not None and culprit:
                box.gauge.add(failed=True, seconds=time.time() - flight.dispatched_at)
            self.on_lost(flight, reason, culprit)
            spans.lost(flight, reason)
        elif not flight.started.done():
            flight.started.set_exception(CaxtonError(code, f"the worker ended while the agent started ({reason})"))

    def _ended(self, flight: Flight, result: Result) -> None:
        self._take_off(flight)
        self.executions += 1
        box = flight.box
        box.resident = result.resident
        if box.account is not None:
            box.account.spent(result.usage.cpu_seconds)
        box.used_at = flight.dispatched_at
        box.quick = (
            result.status == "ok"
            and box.agent.instance is Instance.PERSISTENT
            and result.usage.duration_seconds < _QUICK_SECONDS
        )
        if result.status == "error":  # the one behind it may start an instance of its own
            box.floor = max([box.floor, *(other.incarnation for other in box.running.values())])
        if result.status == "unknown_handle":
            flight.worker.loaded.discard(flight.box.handle)
        if flight.started is None:
            self._meters.ended(box.home.agent.name, result)
            if box.gauge is not None and result.status in _MEASURED:
                box.gauge.add(failed=result.status != "ok", seconds=result.usage.duration_seconds)
            self.on_result(flight, result)
        elif not flight.started.done():
            flight.started.set_result(result)

    def _flight(self, box: Box, entry: Entry | None, worker: Worker) -> Flight:
        self._workers.load(worker, box)
        flight = Flight(next(self._numbers), box, entry, worker, _next_incarnation(box), time.time())
        worker.flights[flight.exec_id] = flight
        box.running[flight.exec_id] = flight
        box.idle.clear()
        return flight

    def _take_off(self, flight: Flight) -> None:
        if flight.waits_for is not None or flight.sleeping:
            self.on_awake(flight)
        flight.worker.flights.pop(flight.exec_id, None)
        running = flight.box.running
        had_instance = flight.box.first() is flight
        running.pop(flight.exec_id, None)
        if not running:
            flight.box.idle.set()
        elif had_instance and flight.box.agent.instance is Instance.PERSISTENT:
            self._promote(flight.box)
        if not flight.sleeping:
            self._scheduler.runnable -= 1
        if flight.worker.leaving:
            self._scheduler.workers_changed()  # the agent may go to another worker now
        self._scheduler.plan()

    def _promote(self, box: Box) -> None:
        """The execution that waited in the worker has the instance now."""
        following = box.first()
        if following is not None and following.sleeping:
            following.sleeping = False
            self._scheduler.runnable += 1

    def _instance_gone(self, worker: Worker, gone: Gone) -> None:
        box = self._boxes.by_handle(gone.handle)
        self._meters.instances.left(gone, snapshot=box is not None and box.spec.snapshot)
        if box is not None and box.worker in (None, worker):
            box.resident = False
            box.gone.set()
            self.on_gone(box)

    def _read_again(self, entry: Entry) -> Message:
        row = self._reader.message(entry.message_id)
        if row is None:
            raise CaxtonError(Code.INTERNAL_ERROR, "an accepted message is not on disk", message_id=entry.message_id)
        return row.message


def _next_incarnation(box: Box) -> int:
    """Above every number that an instance has had, or may yet get from an execution that is under way."""
    if box.agent.instance is not Instance.PERSISTENT:
        return 0
    home = box.home
    floors = [each.floor for each in (home, *home.sides)]
    return max(home.agent.incarnation, *floors) + 1 + sum(len(each.running) for each in (home, *home.sides))


def _timer_id(sender: str) -> int | None:
    """The number of a guest's own timer; what a calendar sends has a name there."""
    number = sender[len(TIMER_PREFIX) :] if sender.startswith(TIMER_PREFIX) else ""
    return int(number) if number.isdigit() else None


def _seed(box: Box, message_id: str) -> int:
    """The same for every run of one message, so that a deterministic agent repeats itself exactly."""
    if box.spec.profile is not Profile.DETERMINISTIC:
        return 0
    return int.from_bytes(blake2b(message_id.encode(), digest_size=7).digest(), "little")
