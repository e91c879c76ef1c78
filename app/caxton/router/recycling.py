"""When a worker process has served long enough.

Owns the bounds and a worker's way out: another is started in its place first, then nothing more is placed on
it, and when its last execution has ended it is let go. Must never end a worker that still has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from caxton.protocol.control import RecycleWorker, ReplaceWorker, ToSupervisor
from caxton.protocol.execution import WorkerStats
from caxton.router.boxes import Worker

MAX_EXECUTIONS: Final = 1_000_000
"""Minutes under full load. What leaks so slowly that this many do not show it does no harm."""
MAX_GROWTH_BYTES: Final = 1 << 30
"""5,000 warm instances take 0.3 GiB of it; a GiB is a leak, or thousands of stacks
that overflowed once (each store keeps its own, about 0.5 MB, until it ends). Both are got back by a new process."""
WARM_UP_EXECUTIONS: Final = 1_000
"""By then the engines are made and every path has been taken once."""


class Bounds(NamedTuple):
    """What one worker process may do; bytes are `WorkerStats.own_bytes` over those after its warm-up."""

    executions: int = MAX_EXECUTIONS
    growth_bytes: int = MAX_GROWTH_BYTES
    warm_up_executions: int = WARM_UP_EXECUTIONS


class Recycling:
    """Looks at every worker once a second, when its figures come."""

    def __init__(self, send: Callable[[ToSupervisor], bool]) -> None:
        self._send = send
        self.bounds = Bounds()

    def look(self, worker: Worker, stats: WorkerStats) -> None:
        """Takes the worker one step on its way, if it is on one."""
        worker.stats = stats
        if worker.leaving == "drained":
            return
        if worker.leaving == "draining":
            if not worker.flights:
                worker.leaving = "drained"
                self._send(RecycleWorker(worker.worker_id, replace=False))
        elif not worker.leaving and worker.usable and self._served_enough(worker, stats):
            worker.leaving = "replacing"
            self._send(ReplaceWorker(worker.worker_id))

    def arrived(self, worker: Worker, others: list[Worker]) -> None:
        """A worker came up: the one that it replaces gets nothing more."""
        for other in others:
            if other is not worker and other.tag == worker.tag and other.leaving == "replacing":
                other.leaving = "draining"
                other.usable = False
                return

    def _served_enough(self, worker: Worker, stats: WorkerStats) -> bool:
        if stats.executions < self.bounds.warm_up_executions:
            worker.baseline_bytes = stats.own_bytes
        growth = stats.own_bytes - worker.baseline_bytes
        return stats.executions >= self.bounds.executions or growth > self.bounds.growth_bytes
