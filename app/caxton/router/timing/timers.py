"""Durable timers of guests: when they are due they become messages, once.

Owns the heap of timers of attached agents. Must never forget a timer that is on disk: `attach` reads them
again, and the id of a due timer's message is derived, so that a second firing is a duplicate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

_LONGEST_WAIT: Final = 3600.0  # the wall clock may be set: look again at least this often


class Timers:
    """`due(agent, timer_id)` is called once for every timer, not before its time."""

    def __init__(self, due: Callable[[str, int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._heap: list[tuple[float, str, int]] = []
        self._set: dict[str, dict[int, float]] = {}
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(len(timers) for timers in self._set.values())

    def set(self, agent: str, timer_id: int, due: float) -> None:
        """A timer that is durable now; the same id again replaces it."""
        self._set.setdefault(agent, {})[timer_id] = due
        heappush(self._heap, (due, agent, timer_id))
        if self._heap[0] == (due, agent, timer_id):
            self._arm()

    def clear(self, agent: str, timer_id: int) -> None:
        """A timer that was cancelled; one that is not known is no error."""
        self._set.get(agent, {}).pop(timer_id, None)

    def forget(self, agent: str) -> None:
        """All timers of an agent that is not attached any more; those on disk stay."""
        self._set.pop(agent, None)

    def stop(self) -> None:
        """Nothing becomes due any more."""
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._heap:
            wait = min(max(self._heap[0][0] - time.time(), 0.0), _LONGEST_WAIT)
            self._handle = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        now = time.time()
        while self._heap and self._heap[0][0] <= now:
            due, agent, timer_id = heappop(self._heap)
            timers = self._set.get(agent)
            if timers is not None and timers.get(timer_id) == due:
                del timers[timer_id]
                self._due(agent, timer_id)
        self._arm()
