"""What the router counts of snapshots for /metrics.

Owns these counters, which begin at 0 with each start of the router. Must never be asked for a decision.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.protocol.snapshots import BLOCK_BYTES, Snapshot
from caxton.router.histogram import Histogram

_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds; a wake is to take less than 0.01."""


class SnapshotMeters:
    """Snapshots taken, bytes of changed blocks, wakes by how long they took."""

    def __init__(self) -> None:
        self._taken = 0
        self._bytes = 0
        self._wakes = Histogram(_BOUNDS)

    def took(self, change: Snapshot) -> None:
        """An execution's changes go into its transaction."""
        self._taken += 1
        self._bytes += len(change.blocks) * BLOCK_BYTES + len(change.globals)

    def woke(self, seconds: float) -> None:
        """An instance was made from its snapshot."""
        self._wakes.add(seconds)

    def figures(self, hibernated: int) -> dict[str, Any]:
        """Everything, for the operation `stats`."""
        return {
            "taken": self._taken,
            "bytes": self._bytes,
            "hibernated": hibernated,
            "wakes": self._wakes.figures(),
        }
