"""What the router counts for /metrics: executions by how they ended and how long they took, ends of workers.

Owns these counters, which begin at 0 with each start of the router. Must never be asked for a decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from caxton.protocol.errors import Code
from caxton.protocol.execution import Result
from caxton.router.agent_meters import AgentMeters
from caxton.router.histogram import Histogram
from caxton.router.instance_meters import InstanceMeters

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
_COMPILE_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COMMIT_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; a disk that needs more than 0.1 for a flush is in need of help."""


class Meters:
    """`buckets`: upper bounds in seconds of the histogram of durations."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._durations = Histogram(buckets)
        self._cpu_seconds = 0.0
        self._fuel = 0
        self._statuses = Counter(dict.fromkeys(STATUSES, 0))
        self._failures: Counter[str] = Counter()
        self.agents = AgentMeters()
        self.instances = InstanceMeters(buckets)
        self.commits = Histogram(_COMMIT_BOUNDS)
        """Transactions of the store; its writer's thread adds to it."""
        self.worker_ends = Counter(dict.fromkeys(WORKER_ENDS, 0))
        """By reason, see `caxton.protocol.control.WorkerDown`."""

        self.prepared = Counter({"cache": 0, "compiler": 0})
        """Modules made ready for workers, by where the code came from."""
        self.compiled = Histogram(_COMPILE_BOUNDS)
        self.refused: Counter[str] = Counter()
        """Modules that were not made ready, by error code."""

    def ended(self, agent: str, result: Result) -> None:
        """An execution of a message ended by itself; on the hot path."""
        usage = result.usage
        self._statuses[result.status] += 1
        self._durations.add(usage.duration_seconds)
        self._cpu_seconds += usage.cpu_seconds
        if usage.fuel:
            self._fuel += usage.fuel
        self.agents.ended(agent, result.status, usage)
        if result.status == "error":
            self._failures[result.code or Code.AGENT_FAILED.value] += 1

    def lost(self, agent: str, code: Code | None) -> None:
        """An execution ended with its worker; `code` when it was to blame."""
        self._statuses[LOST] += 1
        self.agents.lost(agent, LOST)
        if code is not None:
            self._failures[code.value] += 1

    def figures(self) -> dict[str, Any]:
        """Everything, for the operation `stats`."""
        return {
            "executions": dict(self._statuses),
            "failures": dict(self._failures),
            "duration": self._durations.figures(),
            "cpu_seconds": self._cpu_seconds,
            "fuel": self._fuel,
            "agents": self.agents.figures(),
            "instances": self.instances.figures(),
            "commits": self.commits.figures(),
            "worker_ends": dict(self.worker_ends),
            "prepared": dict(self.prepared),
            "compiled": self.compiled.figures(),
            "refused": dict(self.refused),
        }
