"""Which agent's next message starts now.

Owns the fairness between agents: a ring of agents that can run, each gets one start per turn of the ring.
Must never look into a message or speak to a worker itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from caxton.router.boxes import Box, Worker
from caxton.router.mailbox import Entry, is_late

PAUSED: Final = "paused"
DRAINED: Final = "drained"
STOPPING: Final = "stopping"
FAILED: Final = "failed"
"""Why nothing may be started."""
Place = Callable[[Box], "Worker | None"]
Begin = Callable[[Box, Entry, Worker], None]
Expire = Callable[[Box, Entry], None]


class Scheduler:
    """`runnable` counts the executions on workers that do not sleep; at most `bound()` are started."""

    def __init__(self, place: Place, begin: Begin, expire: Expire, bound: Callable[[], int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = place
        self._begin = begin
        self._expire = expire
        self._bound = bound
        self._ring: deque[Box] = deque()
        self._parked: list[Box] = []
        self._planned = False
        self._holds: set[str] = set()
        self.runnable = 0

    @property
    def held(self) -> bool:
        """Whether nothing is started now."""
        return bool(self._holds)

    def is_held(self, reason: str) -> bool:
        """Whether nothing is started for this reason."""
        return reason in self._holds

    def hold(self, reason: str) -> None:
        """Starts nothing until every reason is released."""
        self._holds.add(reason)

    def release(self, reason: str) -> None:
        """This reason is no more."""
        self._holds.discard(reason)
        self.plan()

    def wake(self, box: Box) -> None:
        """Something about this agent changed: it may be able to run now."""
        if not box.queued and box.can_run:
            box.queued = True
            self._ring.append(box)
            self.plan()
        for side in box.sides:
            self.wake(side)

    def plan(self) -> None:
        """Has the ring gone round once more before the loop waits again."""
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._go_round)

    def workers_changed(self) -> None:
        """A worker came or went: agents that had none try again."""
        parked, self._parked = self._parked, []
        for box in parked:
            box.parked = False
        self._ring.extend(parked)
        self.plan()

    def _go_round(self) -> None:
        self._planned = False
        ring, bound = self._ring, self._bound()
        while ring and self.runnable < bound and not self._holds:
            box = ring.popleft()
            if not box.can_run:
                box.queued = False
                continue
            worker = self._place(box)
            if worker is None:
                box.parked = True
                self._parked.append(box)
                self.wake(box.home)  # another version may have waited for this one to take its turn
                continue
            self._start_one(box, worker)
            if box.can_run:
                ring.append(box)
            else:
                box.queued = False

    def _start_one(self, box: Box, worker: Worker) -> None:
        while (entry := box.mailbox.take(box.lane)) is not None:
            if is_late(entry, time.time()):
                box.mailbox.settle(entry)
                self._expire(box.home, entry)
                continue
            self.runnable += 1
            self._begin(box, entry, worker)
            return
