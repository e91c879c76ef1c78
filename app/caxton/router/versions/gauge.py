"""How well one version of an agent does, while it is compared with another.

Owns the numbers. Must never judge them: rollouts do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from caxton.protocol.versions import Figures

SAMPLES: Final = 1_000
"""Durations that are kept, the newest."""


class Gauge:
    """Counts the executions of messages that ended by themselves; `changed` is set with each."""

    def __init__(self) -> None:
        self.executions = 0
        self.failed = 0
        self._durations: deque[float] = deque(maxlen=SAMPLES)
        self.changed = asyncio.Event()

    def add(self, *, failed: bool, seconds: float) -> None:
        """One execution: a trap, a limit, a lost worker of its own making, or the agent's own error has failed."""
        self.executions += 1
        self.failed += failed
        self._durations.append(seconds)
        self.changed.set()

    def figures(self) -> Figures:
        """The numbers until now."""
        ordered = sorted(self._durations)
        return Figures(
            executions=self.executions,
            failed=self.failed,
            error_rate=self.failed / self.executions if self.executions else 0.0,
            p50_seconds=_at(ordered, 0.5),
            p95_seconds=_at(ordered, 0.95),
        )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
