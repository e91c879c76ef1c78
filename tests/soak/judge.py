"""Whether something grew: readings over a long run, compared with each other.

Owns the verdict, on plain data. Must never measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

FEWEST: Final = 8
"""Readings below which nothing can be said."""
WARM_UP_BYTES: Final = 6_000_000
"""What a process may still gain in the second half while its pools and caches fill."""
BYTES_PER_UNIT: Final = 24.0
"""Beyond that, so much for each execution or cycle: less than the smallest object that one could forget to free."""
DESCRIPTORS: Final = 3
"""Connections that happen to be open when one looks."""


@dataclass(frozen=True)
class Reading:
    """One look, after `units` executions or cycles. Per process: its pid, its memory without pages of files, open
    descriptors."""

    units: int
    pids: Mapping[str, int] = field(default_factory=dict)
    anonymous_bytes: Mapping[str, int] = field(default_factory=dict)
    descriptors: Mapping[str, int] = field(default_factory=dict)
    imbalance: int = 0


def problems(readings: Sequence[Reading]) -> list[str]:
    """What is wrong, one line each; empty when nothing is."""
    if len(readings) < FEWEST:
        return [f"{len(readings)} readings are too few to say anything; {FEWEST} are needed"]
    found = [f"the ledger is off by {one.imbalance} after {one.units}" for one in readings if one.imbalance]
    for name in readings[0].pids:
        if len({one.pids.get(name) for one in readings}) > 1:
            found.append(f"{name} did not live through it: {sorted({one.pids.get(name, 0) for one in readings})}")
    between = grown(readings, lambda one: one.units)
    allowed = max(WARM_UP_BYTES, between * BYTES_PER_UNIT)
    for name in readings[0].anonymous_bytes:
        more = grown(readings, lambda one, name=name: one.anonymous_bytes[name])  # type: ignore[misc]  # bound now
        if more > allowed:
            found.append(f"{name} grew by {more:.0f} bytes over {between:.0f} executions; {allowed:.0f} are allowed")
    for name in readings[0].descriptors:
        more = grown(readings, lambda one, name=name: one.descriptors[name])  # type: ignore[misc]  # bound now
        if more > DESCRIPTORS:
            found.append(f"{name} opened {more:.0f} descriptors more than it closed")
    return found


def grown(readings: Sequence[Reading], value: Callable[[Reading], float]) -> float:
    """How much the median of the last quarter is over that of the quarter before it."""
    quarter = len(readings) // 4
    third, fourth = readings[-2 * quarter : -quarter], readings[-quarter:]
    return median(map(value, fourth)) - median(map(value, third))
