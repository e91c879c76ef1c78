"""What the router counts of agents' instances: how they started, why they left memory, what memory pressure found.

Owns these counters, which begin at 0 with each start of the router. Must never be asked for a decision.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Gone, Result
from caxton.router.histogram import Histogram

ENDED: Final = "ended"
HIBERNATED: Final = "hibernated"
STARTS: Final = ("ok", "failed", "timeout")
LOOKS: Final = ("low", "reclaimed", "all_busy", "off")
"""What a look at the memory found: too little of it in use, idle instances to end, none, or that it may end none."""
_RESTS: Final = ("idle", "crowded", "reclaimed")
"""Reasons of `Gone` after which an agent with snapshots goes on from where it was."""
_REASONS: Final = {
    "idle": "idle",
    "crowded": "crowded",
    "reclaimed": "pressure",
    "ended": "shutdown",
    "discarded": "failed",
}
LOST: Final = "lost"
RECYCLED: Final = "recycled"
"""Of an instance that ended with its worker, which was replaced in order."""


class InstanceMeters:
    """`buckets`: upper bounds in seconds of the histogram of starts."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._starts = Counter(dict.fromkeys(STARTS, 0))
        self._start_seconds = Histogram(buckets)
        self._ends = Counter({(reason, ENDED): 0 for reason in (*_REASONS.values(), LOST, RECYCLED)})
        self._ends.update({(_REASONS[reason], HIBERNATED): 0 for reason in _RESTS})
        self.shutdown_timeouts = 0
        """Instances that were ended before `agent_shutdown` returned."""
        self.looks = Counter(dict.fromkeys(LOOKS, 0))

    def started(self, start: asyncio.Future[Result]) -> None:
        """`agent_init` and what belongs to it ended, or was ended."""
        if start.cancelled():
            return
        error = start.exception()
        if error is None:
            result = start.result()
            code, ok = result.code, result.status == "ok"
            self._start_seconds.add(result.usage.duration_seconds)
        else:  # its worker is no more
            code, ok = error.code if isinstance(error, CaxtonError) else None, False
        self._starts["ok" if ok else "timeout" if code == Code.EXECUTION_TIMEOUT else "failed"] += 1

    def left(self, gone: Gone, *, snapshot: bool) -> None:
        """An instance left memory. `snapshot`: its agent has snapshots."""
        if gone.overdue:
            self.shutdown_timeouts += 1
        if gone.incarnation:  # there was one
            rests = snapshot and gone.reason in _RESTS
            self._ends[_REASONS[gone.reason], HIBERNATED if rests else ENDED] += 1

    def worker_ended(self, reason: str, instances: int) -> None:
        """`instances`: those that it held, as it said last."""
        self._ends[RECYCLED if reason == "recycled" else LOST, ENDED] += instances

    def figures(self) -> dict[str, Any]:
        """Everything, for the operation `stats`. `ends`: reason, what became of it, count."""
        return {
            "starts": dict(self._starts),
            "start_seconds": self._start_seconds.figures(),
            "ends": [(reason, outcome, count) for (reason, outcome), count in sorted(self._ends.items())],
            "shutdown_timeouts": self.shutdown_timeouts,
            "pressure_looks": dict(self.looks),
        }
