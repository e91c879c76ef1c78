"""Buckets in one file that every API worker of a node has mapped.

Owns the file, its lock and the arithmetic of a bucket. Must never know whose bucket it is, grow, or make a worker
wait for another one that stands still.

A bucket is one number, the time at which it will be full again (GCRA): nothing has to be refilled, and a new rate or
burst holds for every bucket at once. The file is a table of fixed size, eight cells to a set. Whoever needs a cell in
a full set takes the one that is full again first, so a flood of a million addresses, each of which asks once, pushes
out buckets that have lost next to nothing, and never one that is empty.

Why a file under a lock, measured for one check of two buckets by one process (µs of CPU): 3.3 with `flock`, 3.8 with
`fcntl` ranges, 1.9 with a POSIX semaphore, 1.2 with no lock at all; about 90 to ask the router. A semaphore is held
for ever by a worker that was killed inside; without a lock two workers would grant the same token twice; the kernel
takes a `flock` away from whoever dies. One lock for the table and not one for each set: it is held for 2 µs, and both
buckets of a request are paid, or neither, under it.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import mmap
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from caxton.telemetry import event

WAYS: Final = 8
_HEADER_BYTES: Final = 64
_KEY_BYTES: Final = 16
_CELL_BYTES: Final = 16
_PATIENCE_SECONDS: Final = 0.005
"""How long a lock that is held is waited for. Whoever holds it needs 2 µs, and a turn of the processor if it lost it
inside. If it was stopped there, a token that is granted twice is the lesser evil: nobody waits for it again until the
lock was free once."""
_NANOSECONDS: Final = 1_000_000_000
_tags_at: Final = struct.Struct(f"={WAYS}Q").unpack_from
Place = tuple[int, int]
"""A set's first word in the table, and the tag of a cell in it."""


class Rate(NamedTuple):
    """`interval`: ns in which a bucket gets one token back; `horizon`: ns until an empty bucket is full."""

    per_second: float
    burst: int
    interval: int
    horizon: int


def rate(per_second: float, burst: int) -> Rate:
    """A rate for buckets of `burst` tokens."""
    interval = max(1, round(_NANOSECONDS / per_second))
    return Rate(per_second, burst, interval, interval * burst)


Bucket = tuple[Place, Rate]


class Paid(NamedTuple):
    """`refused`: the index of the bucket that could not pay, -1 if all have paid. `backlog`: ns until that bucket, or
    the emptiest one, is full again, after the payment or without it."""

    refused: int
    backlog: int


class Cells:
    """A table of `sets` sets in the file at `path`, opened on first use: after the fork, else all share one lock."""

    def __init__(self, path: Path, sets: int) -> None:
        self._path = path
        self._sets = sets
        self._size = _HEADER_BYTES + sets * WAYS * _CELL_BYTES
        self._descriptor = -1
        self._words: memoryview | None = None
        self._key = b""
        self._patience = _PATIENCE_SECONDS

    def place(self, kind: str, name: str) -> Place:
        """Where the cell of this name is looked for. The hash is keyed: nobody can choose names that share a set."""
        if self._words is None:
            self._open()
        digest = hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=16, key=self._key).digest()
        chosen = int.from_bytes(digest[:8], "little") % self._sets
        first = (_HEADER_BYTES + chosen * WAYS * _CELL_BYTES) // 8
        return first, int.from_bytes(digest[8:], "little") or 1

    def pay(self, cost: int, buckets: Sequence[Bucket]) -> Paid:
        """Takes `cost` tokens out of every bucket, or, if one has not as many, out of none; below 0 it gives back."""
        words = self._words
        assert words is not None  # whoever has a place has opened the table
        found, worst = [], 0
        held = self._lock()
        try:
            now = time.monotonic_ns()
            for index, ((first, tag), limit) in enumerate(buckets):
                at, until = _find(words, first, tag)
                backlog = until - now
                if backlog < 0:
                    backlog = 0
                elif backlog > limit.horizon:  # the burst was made smaller, or the clock began anew with the host
                    backlog = limit.horizon
                    words[at + WAYS] = now + backlog
                after = backlog + cost * limit.interval
                if after > limit.horizon:
                    return Paid(index, backlog)
                worst = max(worst, after)
                found.append((at, tag, now + max(after, 0)))
            for at, tag, until in found:
                words[at] = tag
                words[at + WAYS] = until
        finally:
            if held:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return Paid(-1, worst)

    def mark(self, place: Place, seconds: float) -> None:
        """Has `marked` answer yes for so long."""
        words = self._words
        assert words is not None
        held = self._lock()
        try:
            at, _ = _find(words, *place)
            words[at] = place[1]
            words[at + WAYS] = time.monotonic_ns() + round(seconds * _NANOSECONDS)
        finally:
            if held:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def marked(self, place: Place, seconds: float) -> bool:
        """Whether it was marked, for `seconds` from then on, and that time has not passed."""
        assert self._words is not None
        _, until = _find(self._words, *place)
        return 0 < until - time.monotonic_ns() <= seconds * _NANOSECONDS

    def _lock(self) -> bool:
        if self._try_lock():
            self._patience = _PATIENCE_SECONDS
            return True
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            os.sched_yield()
            if self._try_lock():
                return True
        self._patience = 0.0
        return False

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            # Allocated now: a disk that is full later must not end the worker that touches a page.
            os.posix_fallocate(self._descriptor, 0, self._size)
            memory = mmap.mmap(self._descriptor, self._size)
        except OSError as error:
            event("limits are counted by each worker for itself", logging.WARNING, reason=str(error))
            self._descriptor = os.memfd_create("limits", os.MFD_CLOEXEC)
            os.ftruncate(self._descriptor, self._size)
            memory = mmap.mmap(self._descriptor, self._size)
        self._words = memoryview(memory).cast("Q")
        if not memory[_KEY_BYTES]:
            self._make_key(memory)
        self._key = memory[:_KEY_BYTES]

    def _make_key(self, memory: mmap.mmap) -> None:
        """Once in the life of a file: the byte behind the key says that it is there."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            if not memory[_KEY_BYTES]:
                memory[:_KEY_BYTES] = os.urandom(_KEY_BYTES)
                memory[_KEY_BYTES] = 1
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _find(words: memoryview, first: int, tag: int) -> tuple[int, int]:
    """The cell with this tag, and its time; of a tag that is nowhere, the cell to take and 0."""
    tags = _tags_at(words, first * 8)
    if tag in tags:
        at: int = first + tags.index(tag)
        return at, words[at + WAYS]
    times = _tags_at(words, (first + WAYS) * 8)
    return first + times.index(min(times)), 0
