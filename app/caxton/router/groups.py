"""Workers that groups of agents share and that come on demand: those of namespaces, and of agents with files.

Owns how many there are: another is started while all of a group are busy, and ends when it has had nothing to do
for a while; where the node's bound is reached, a group that has most gives one up, first one that is idle. Must
never hand a process from one group to another: what an agent left in its memory ends with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from caxton.protocol.control import RecycleWorker, SpawnWorker, ToSupervisor
from caxton.router.boxes import Worker
from caxton.router.quarters import Quarters, is_group

LEAST_MOST: Final = 16
"""A small node has room for so many in all; a larger one for four times its standing workers."""
RETRY_SECONDS: Final = 1.0


class Groups:
    """`changed()` is called when an agent that found no worker should try again."""

    def __init__(
        self, send: Callable[[ToSupervisor], bool], changed: Callable[[], None], each: int, idle_seconds: float
    ) -> None:
        self._send = send
        self._changed = changed
        self._each = each
        self._most = max(LEAST_MOST, 4 * each)
        self._idle_seconds = idle_seconds
        self._spawning: set[str] = set()

    def want(self, quarters: Quarters, workers: Iterable[Worker]) -> None:
        """There is work for these quarters: starts a worker where none is free and there may be one more."""
        own: list[Worker] = []
        others: list[Worker] = []
        for worker in workers:
            if worker.down is None and (worker.tag == quarters.tag or is_group(worker.tag)):
                (own if worker.tag == quarters.tag else others).append(worker)
        usable = [worker for worker in own if worker.usable]
        if quarters.tag in self._spawning or any(not worker.flights for worker in usable):
            return
        if len(usable) >= (self._each if quarters.shared else 1):
            return
        if quarters.shared and self._count(own, others) >= self._most:
            if not usable:
                _give_up_one(others)
            return
        if self._send(SpawnWorker(quarters.tag, quarters.reach)):
            self._spawning.add(quarters.tag)

    def came(self, tag: str) -> None:
        """A worker that was asked for is up."""
        self._spawning.discard(tag)

    def ended(self, tag: str) -> None:
        """A worker ended, or one that was asked for could not start: who waits for it asks again, after a while."""
        if tag in self._spawning:
            self._spawning.discard(tag)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed)

    def all_lost(self) -> None:
        """The supervisor is gone."""
        self._spawning.clear()

    def look(self, worker: Worker) -> None:
        """Once a second: lets a worker go that had nothing to do for long."""
        if worker.flights or not worker.usable or not is_group(worker.tag):
            worker.busy_at = time.monotonic()
        elif time.monotonic() - worker.busy_at > self._idle_seconds:
            worker.usable = False
            worker.leaving = "drained"
            self._send(RecycleWorker(worker.worker_id, replace=False))

    def _count(self, own: list[Worker], others: list[Worker]) -> int:
        return len(own) + len(others) + sum(is_group(tag) for tag in self._spawning)


def _give_up_one(workers: list[Worker]) -> None:
    """Nothing more is placed on it; it ends once its last execution has (`Recycling`)."""
    if any(worker.leaving == "draining" for worker in workers):
        return  # its place will do
    usable = [worker for worker in workers if worker.usable and not worker.leaving]
    if usable:
        size = {tag: sum(worker.tag == tag for worker in usable) for tag in {worker.tag for worker in usable}}
        one = max(usable, key=lambda worker: (not worker.flights, size[worker.tag], -worker.worker_id))
        one.usable = False
        one.leaving = "draining"
