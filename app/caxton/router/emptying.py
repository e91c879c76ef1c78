"""Emptying a node: what runs ends or goes back to its mailbox.

Owns the steps on the way to a node on which nothing runs. Must never lose a message, nor count an attempt for
an execution that was taken back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from caxton.protocol.views import RunningView
from caxton.router.boxes import Box, Boxes, Flight
from caxton.router.dispatch import Dispatch
from caxton.router.intake import EPHEMERAL
from caxton.router.mailbox import Place
from caxton.router.outcomes import Outcomes
from caxton.router.scheduler import DRAINED, Scheduler
from caxton.router.timing.times import rfc3339
from caxton.router.waiters import Waiters
from caxton.router.workers import Workers

_POLL_SECONDS = 0.02
_KILL_SECONDS = 3.0  # after a cancel: one slice for the willing, a kill for the others
_GONE_SECONDS = 10.0  # after a kill


class Emptying:
    """`wanted()` says whether the node is still to be empty: an operator may have thought better of it."""

    def __init__(
        self,
        boxes: Boxes,
        scheduler: Scheduler,
        dispatch: Dispatch,
        outcomes: Outcomes,
        waiters: Waiters,
        workers: Workers,
    ) -> None:
        self._boxes = boxes
        self._scheduler = scheduler
        self._dispatch = dispatch
        self._outcomes = outcomes
        self._waiters = waiters
        self._workers = workers

    async def empty(self, seconds: float, wanted: Callable[[], bool]) -> list[RunningView]:
        """Returns when nothing runs any more; gives what still ran after `seconds` and was taken back.

        Executions are started for as long as somebody waits for an answer: nothing else that is new comes in, and
        what a caller waits for may need another agent's answer. Then none are.
        """
        end = time.monotonic() + seconds
        await _until(lambda: not self._waiters.pressing or self._scheduler.held or not wanted(), end)
        if not wanted():
            return []
        self._scheduler.hold(DRAINED)
        self._outcomes.drained = True
        for box in self._boxes.versions():
            for flight in box.followers():  # they wait in the worker and have not begun
                self._dispatch.cancel(flight)
        await _until(lambda: self._is_empty() or not wanted(), end)
        if not wanted():
            return []
        views = [_view(flight) for box in self._boxes.versions() for flight in _begun(box)]
        await self._take_back()
        return views

    def undo(self) -> None:
        """Starts executions again."""
        self._outcomes.drained = False
        self._scheduler.release(DRAINED)

    def _is_empty(self) -> bool:
        """Nothing runs, and what ran has ended on disk too: whoever asks next is told so."""
        return not self._flights() and not any(box.settling for box in self._boxes)

    def _flights(self) -> list[Flight]:
        """Executions of messages; a start of an agent has its own, short, bound."""
        running = (flight for box in self._boxes.versions() for flight in box.running.values())
        return [flight for flight in running if flight.entry is not None]

    async def _take_back(self) -> None:
        for box in self._boxes:
            self._refuse_callers(box)
        for flight in self._flights():
            self._dispatch.cancel(flight)
        if not await _until(lambda: not self._flights(), time.monotonic() + _KILL_SECONDS):
            for worker in {flight.worker.worker_id: flight.worker for flight in self._flights()}.values():
                self._workers.kill(worker)
            await _until(lambda: not self._flights(), time.monotonic() + _GONE_SECONDS)

    def _refuse_callers(self, box: Box) -> None:
        """Messages that only live as long as their caller waits: he is told now, instead of waiting in vain."""
        for entry in list(box.mailbox.entries()):
            if entry.delivery == EPHEMERAL and entry.place is not Place.OUT:
                self._outcomes.refuse_waiting(box, entry)


async def _until(condition: Callable[[], bool], end: float) -> bool:
    """Whether the condition came true before `end` (CLOCK_MONOTONIC)."""
    while not condition():
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _begun(box: Box) -> list[Flight]:
    waiting = box.followers()
    return [flight for flight in box.running.values() if flight.entry is not None and flight not in waiting]


def _view(flight: Flight) -> RunningView:
    assert flight.entry is not None
    return RunningView(
        agent=flight.box.agent.name,
        message_id=flight.entry.message_id,
        started_at=rfc3339(flight.dispatched_at),
        duration_seconds=round(max(0.0, time.time() - flight.dispatched_at), 3),
    )
