"""Canonical lines: one for each request and one for each execution, and when there is none.

Owns the rule and the bounds. What went wrong has a line always; what went well has one where somebody asked: at level
`debug`, or for a request whose trace is sampled. Must never let lines fill a disk: above `debug` a process writes no
more than its budgets allow, and counts the others.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from caxton.telemetry.logs import event


class Budget:
    """`burst` lines at once, `per_second` of them for ever."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at = time.monotonic()
        self.unsaid = 0
        """Lines that were left out since the last one."""

    def take(self) -> bool:
        """Whether one more line may be written."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            self.unsaid += 1
            return False
        self._left -= 1.0
        return True

    def told(self) -> int:
        """How many were left out before this line."""
        unsaid, self.unsaid = self.unsaid, 0
        return unsaid


class Lines:
    """The lines of one kind that one process writes. All calls come from one thread."""

    def __init__(self, logger: str) -> None:
        self._logger = logger
        self._log: Final = logging.getLogger(logger)
        self.of_failures = Budget(per_second=100.0, burst=1_000)
        self.of_successes = Budget(per_second=20.0, burst=200)
        """Budgets of their own: what goes well must not take the room of what does not."""

    def wants_all(self) -> bool:
        """Whether the level asks for the line of everything, however it went."""
        return self._log.isEnabledFor(logging.DEBUG)

    def wants(self, level: int, budget: Budget) -> bool:
        """Whether a line of this level is to be written: ask before its fields are made."""
        return self._log.isEnabledFor(level) and (self.wants_all() or budget.take())

    def write(self, message: str, level: int, budget: Budget, fields: dict[str, Any]) -> None:
        """A line that is wanted. Fields that are None are left out; `more`: how many had no line before it."""
        told = {name: value for name, value in fields.items() if value is not None}
        if unsaid := budget.told():
            told["more"] = unsaid
        event(message, level, logger=self._logger, **told)
