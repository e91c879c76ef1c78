"""`poll_oneoff`: sleeping and readiness.

Owns the reading of subscriptions and the writing of events. Must never block: what has to wait is a
`Wait`, which the worker keeps while others run.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

from caxton.executor.guest import GuestMemory, OutOfBounds
from caxton.executor.wasi.abi import (
    CLOCK_MONOTONIC,
    EVENT,
    EVENT_CLOCK,
    EVENT_FD_READ,
    EVENT_FD_WRITE,
    EVENT_HANGUP,
    SUBSCRIPTION_ABSTIME,
    SUBSCRIPTION_BYTES,
    SUBSCRIPTION_CLOCK,
    SUBSCRIPTION_HEAD,
    U32,
    Errno,
    Refused,
    from_host,
)
from caxton.executor.wasi.clocks import check_clock, now_ns
from caxton.executor.wasi.descriptors import Directory, File, Input, Output
from caxton.executor.wasi.state import Wait, WasiState
from caxton.executor.wasi.vectors import MAX_TRANSFER_BYTES

MAX_SUBSCRIPTIONS: Final = 1024
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Event:
    """What a subscription comes to, at `due` (seconds of CLOCK_MONOTONIC, 0 = already)."""

    due: float
    packed: bytes


def poll_oneoff(
    state: WasiState, memory: GuestMemory, subscriptions: int, events: int, count: int, result: int
) -> Wait | None:
    """Answers at once when a descriptor is ready (they always are) or a time has passed; else a `Wait`."""
    if count == 0 or count > MAX_SUBSCRIPTIONS:
        raise Refused(Errno.EINVAL)
    raw = memory.read(subscriptions, count * SUBSCRIPTION_BYTES)
    memory.check(events, count * EVENT.size)
    memory.check(result, U32.size)
    now = time.monotonic()
    found = [_event(state, raw[start : start + SUBSCRIPTION_BYTES], now) for start in _starts(count)]
    first = min(event.due for event in found)

    def finish() -> int:
        due = [event.packed for event in found if event.due <= max(first, now)]
        try:
            memory.write(events, b"".join(due))
            memory.write(result, U32.pack(len(due)))
        except OutOfBounds:
            return Errno.EFAULT
        return Errno.SUCCESS

    if first > now:
        return Wait(first, finish)
    finish()
    return None


def _starts(count: int) -> range:
    return range(0, count * SUBSCRIPTION_BYTES, SUBSCRIPTION_BYTES)


def _event(state: WasiState, raw: bytes, now: float) -> _Event:
    userdata, kind = SUBSCRIPTION_HEAD.unpack_from(raw)
    try:
        if kind == EVENT_CLOCK:
            return _Event(_clock_due(state, raw, now), EVENT.pack(userdata, 0, kind, 0, 0))
        if kind not in (EVENT_FD_READ, EVENT_FD_WRITE):
            raise Refused(Errno.EINVAL)
        (fd,) = U32.unpack_from(raw, SUBSCRIPTION_HEAD.size)
        ready, flags = _ready(state, fd, kind)
        return _Event(0.0, EVENT.pack(userdata, 0, kind, ready, flags))
    except Refused as refused:
        return _Event(0.0, EVENT.pack(userdata, refused.errno, kind, 0, 0))
    except OSError as error:
        return _Event(0.0, EVENT.pack(userdata, from_host(error.errno), kind, 0, 0))


def _clock_due(state: WasiState, raw: bytes, now: float) -> float:
    """When the time has come. A plain delay needs no clock that could be read, so it is always allowed."""
    clock: int
    timeout: int
    clock, timeout, _, flags = SUBSCRIPTION_CLOCK.unpack_from(raw, SUBSCRIPTION_HEAD.size)
    check_clock(clock)
    if not flags & SUBSCRIPTION_ABSTIME:
        return now + timeout / _NS
    if clock == CLOCK_MONOTONIC and state.clocks and state.deterministic is None:
        return timeout / _NS
    return now + (timeout - now_ns(state, clock)) / _NS


def _ready(state: WasiState, fd: int, kind: int) -> tuple[int, int]:
    """Bytes that can be moved without waiting, and event flags."""
    descriptor = state.table.get(fd)
    if isinstance(descriptor, Directory):
        raise Refused(Errno.EBADF)
    if kind == EVENT_FD_WRITE:
        if isinstance(descriptor, Input):
            raise Refused(Errno.EBADF)
        return MAX_TRANSFER_BYTES, 0
    if isinstance(descriptor, Output):
        raise Refused(Errno.EBADF)
    if isinstance(descriptor, File):
        left = os.fstat(descriptor.host).st_size - os.lseek(descriptor.host, 0, os.SEEK_CUR)
        return max(0, left), 0
    left = len(descriptor.data) - descriptor.position
    return left, 0 if left else EVENT_HANGUP
