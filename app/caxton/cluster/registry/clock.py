"""The hybrid logical clock: real time as far as clocks agree, and an order in any case.

Owns one node's reading of it. Must never go back, nor follow a clock that is far ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MAX_AHEAD_SECONDS: Final = 60.0
_COUNTER_BITS: Final = 16


class Clock:
    """Readings are milliseconds since the epoch << 16 | a counter; `now` gives seconds since the epoch."""

    __slots__ = ("_last", "_now")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0

    def tick(self) -> int:
        """A reading after all that this clock has given or observed."""
        self._last = max(self._last + 1, stamp(self._now()))
        return self._last

    def observe(self, hlc: int) -> None:
        """What comes from now on is after `hlc`; ask `ahead` first."""
        self._last = max(self._last, hlc)

    def ahead(self, hlc: int) -> bool:
        """Whether whoever gave this reading has a clock so far ahead that nobody should follow it."""
        return hlc > stamp(self._now() + MAX_AHEAD_SECONDS)

    def before(self, seconds: float) -> int:
        """The reading of `seconds` ago."""
        return stamp(self._now() - seconds)


def stamp(at: float) -> int:
    """The first reading of a moment, in seconds since the epoch."""
    return reading(max(0, int(at * 1000)))


def reading(milliseconds: int) -> int:
    """The first reading of a millisecond since the epoch."""
    return milliseconds << _COUNTER_BITS


def milliseconds_of(hlc: int) -> int:
    """When a reading was taken, in milliseconds since the epoch."""
    return hlc >> _COUNTER_BITS
