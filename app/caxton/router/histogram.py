"""A histogram as /metrics shows it.

Owns how values are put into buckets. Must never keep a value itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any


class Histogram:
    """`bounds`: upper ends of the buckets, ascending; what is above the last goes into `+Inf`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = list(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Counts one value; from one thread at a time."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def figures(self) -> dict[str, Any]:
        """`buckets`: pairs of upper bound and count up to it; `seconds`: the sum of all values."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return {"buckets": list(zip(bounds, accumulate(self._counts), strict=True)), "seconds": self._sum}
