"""What the router counts for /metrics: executions by how they ended and how long they took, ends of workers.

Owns these counters, which begin at 0 with each start of the router. Must never be asked for a decision.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from caxton.protocol.errors import Code
from caxton.protocol.execution import Result

LOST: Final = "lost"
"""Its worker ended under it; unless it is to blame for that, it runs again."""
STATUSES: Final = ("ok", "failure", "error", "cancelled", LOST)
WORKER_ENDS: Final = (
    "crashed",
    "killed",
    "killed_silent",
    "killed_syscall",
    "killed_timeout",
    "recycled",
    "supervisor_lost",
)
"""Counted from 0: a rate needs a value before the first."""


class Meters:
    """`buckets`: upper bounds in seconds of the histogram of durations."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._bounds = list(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._seconds = 0.0
        self._cpu_seconds = 0.0
        self._statuses = Counter(dict.fromkeys(STATUSES, 0))
        self._failures: Counter[str] = Counter()
        self.worker_ends = Counter(dict.fromkeys(WORKER_ENDS, 0))
        """By reason, see `caxton.protocol.control.WorkerDown`."""

        self.prepared = Counter({"cache": 0, "compiler": 0})
        """Modules made ready for workers, by where the code came from."""

    def ended(self, result: Result) -> None:
        """An execution of a message ended by itself; on the hot path."""
        usage = result.usage
        self._statuses[result.status] += 1
        self._counts[bisect_left(self._bounds, usage.duration_seconds)] += 1
        self._seconds += usage.duration_seconds
        self._cpu_seconds += usage.cpu_seconds
        if result.status == "error":
            self._failures[result.code or Code.AGENT_FAILED.value] += 1

    def lost(self, code: Code | None) -> None:
        """An execution ended with its worker; `code` when it was to blame."""
        self._statuses[LOST] += 1
        if code is not None:
            self._failures[code.value] += 1

    def figures(self) -> dict[str, Any]:
        """Everything, for the operation `stats`. `buckets`: pairs of upper bound and count up to it."""
        cumulated, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            cumulated += count
            buckets.append((bound, cumulated))
        return {
            "executions": dict(self._statuses),
            "failures": dict(self._failures),
            "duration": {"buckets": buckets, "seconds": self._seconds},
            "cpu_seconds": self._cpu_seconds,
            "worker_ends": dict(self.worker_ends),
            "prepared": dict(self.prepared),
        }
