"""The page by which the supervisor sees that a worker is stuck, and on what.

Owns 32 bytes of memory shared by one worker and the supervisor. The worker writes before it enters and
after it leaves guest code or any other piece of work done for one execution; the supervisor only reads.
Must never block or allocate on the worker's side: it is on the hot path.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple

_LAYOUT: Final = struct.Struct("<QQdd")
PAGE_BYTES: Final = 4096


class Beat(NamedTuple):
    """What the worker is doing. `exec_id` 0 = nothing; times by CLOCK_MONOTONIC in seconds."""

    sequence: int
    exec_id: int
    entered_at: float
    leave_by: float


def create_pulse() -> int:
    """A descriptor of a fresh shared page, inheritable by a child."""
    fd = os.memfd_create("caxton-pulse", 0)
    os.ftruncate(fd, PAGE_BYTES)
    return fd


class Pulse:
    """One side's mapping of the page behind `fd`."""

    __slots__ = ("_page", "_sequence")

    def __init__(self, fd: int) -> None:
        self._page = mmap.mmap(fd, PAGE_BYTES)
        self._sequence = 0

    def close(self) -> None:
        """Unmaps the page, and closes the descriptor that the mapping keeps; nothing else may be called after."""
        self._page.close()

    def enter(self, exec_id: int, now: float, leave_by: float) -> None:
        """Worker: from now on this execution has the thread, and must give it back by `leave_by`."""
        self._sequence += 1
        _LAYOUT.pack_into(self._page, 0, self._sequence, exec_id, now, leave_by)

    def leave(self) -> None:
        """Worker: no execution has the thread. Also the sign of life of a worker that has nothing to do."""
        self._sequence += 1
        _LAYOUT.pack_into(self._page, 0, self._sequence, 0, 0.0, 0.0)

    def read(self) -> Beat:
        """Supervisor: the last beat. May be torn; confirm a suspicion by a second equal read."""
        return Beat(*_LAYOUT.unpack_from(self._page, 0))
