"""Who runs next, and the clock that ends a slice.

Owns the order of runnable executions and the ticker thread. Must never run a guest.
"""

from __future__ import annotations

import heapq
import threading
import time
from typing import Any, Final

from wasmtime import Engine

from caxton.executor.binding.capi import address, lib
from caxton.executor.worker.execution import Execution

_SLEEPER_CREDIT: Final = 0.002
_IDLE_TICKS: Final = 25


class RunQueue:
    """Runnable executions, those of the agents that used least CPU first.

    Every agent has a virtual time that grows with the CPU it uses; an agent that comes back starts at the
    queue's, a slice ahead, so it neither hoards idle time nor can cut its work into pieces to get more.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Execution]] = []
        self._count = 0
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, execution: Execution) -> None:
        """Makes an execution runnable."""
        agent = execution.agent
        floor = self._now - _SLEEPER_CREDIT
        if agent.vtime < floor:
            agent.vtime = floor
        self._count += 1
        heapq.heappush(self._heap, (agent.vtime, self._count, execution))

    def first(self) -> Execution | None:
        """Who would run next; ended ones are dropped on the way."""
        heap = self._heap
        while heap and heap[0][2].ended:
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def pop(self) -> Execution:
        """Takes the one that `first` showed."""
        vtime, _count, execution = heapq.heappop(self._heap)
        if vtime > self._now:
            self._now = vtime
        return execution


class Ticker(threading.Thread):
    """Advances the epoch of every engine once per slice while something is runnable; else it is parked."""

    def __init__(self, slice_seconds: float) -> None:
        super().__init__(name="ticker", daemon=True)
        self.active = False
        self._slice = slice_seconds
        self._engines: tuple[Any, ...] = ()  # addresses of engines
        self._keep: list[Engine] = []
        self._parked = False
        self._wake = threading.Event()

    def add(self, engine: Engine) -> None:
        """One more engine to tick."""
        self._keep.append(engine)
        self._engines = (*self._engines, address(engine.ptr()))

    def resume(self) -> None:
        """Something is runnable."""
        self.active = True
        if self._parked:
            self._wake.set()

    def run(self) -> None:
        """The thread; it needs the GIL only for an instant per tick."""
        idle = 0
        increment = lib.wasmtime_engine_increment_epoch
        while True:
            time.sleep(self._slice)
            for engine in self._engines:
                increment(engine)
            idle = 0 if self.active else idle + 1
            if idle > _IDLE_TICKS:
                self._parked = True
                if not self.active:
                    self._wake.wait()
                self._parked = False
                self._wake.clear()
                idle = 0
