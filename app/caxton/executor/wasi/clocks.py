"""Clocks and random.

Owns what time it is for a guest and where its random bytes come from. Must never ask the host when the
execution is deterministic.
"""

from __future__ import annotations

import os
import time
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import CLOCK_LAST, CLOCK_MONOTONIC, CLOCK_REALTIME, U64, Errno, Refused
from caxton.executor.wasi.state import WasiState

MAX_RANDOM_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 64 * 1024
_RESOLUTION_NS: Final = 1_000


def now_ns(state: WasiState, clock: int) -> int:
    """The clock's time in ns. A guest's CPU clocks are not offered: the process's are not its own."""
    if not state.clocks:
        raise Refused(Errno.EACCES)
    check_clock(clock)
    if state.deterministic is not None:
        return state.deterministic.now_us() * 1_000
    return time.time_ns() if clock == CLOCK_REALTIME else time.monotonic_ns()


def check_clock(clock: int) -> None:
    """Refuses what is not offered (ENOTSUP) or does not exist (EINVAL)."""
    if clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC):
        raise Refused(Errno.ENOTSUP if clock <= CLOCK_LAST else Errno.EINVAL)


def clock_res_get(state: WasiState, memory: GuestMemory, clock: int, result: int) -> None:
    """Resolution: a µs, the finest that is the same in every profile."""
    now_ns(state, clock)
    memory.write(result, U64.pack(_RESOLUTION_NS))


def clock_time_get(state: WasiState, memory: GuestMemory, clock: int, precision: int, result: int) -> None:
    """Time in ns."""
    memory.write(result, U64.pack(now_ns(state, clock)))


def random_get(state: WasiState, memory: GuestMemory, buffer: int, length: int) -> None:
    """Fills up to 1 MiB; more at once is refused, because it would hold up all others."""
    memory.check(buffer, length)
    if not state.random:
        raise Refused(Errno.EACCES)
    if length > MAX_RANDOM_BYTES:
        raise Refused(Errno.EINVAL)
    source = os.urandom if state.deterministic is None else state.deterministic.random_bytes
    for offset in range(0, length, _CHUNK_BYTES):
        memory.write(buffer + offset, source(min(_CHUNK_BYTES, length - offset)))
