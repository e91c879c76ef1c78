"""Buckets in one file that every API worker of a node has mapped.

Owns the file, its lock and the arithmetic of a bucket. Must never know whose bucket it is, grow, or make a worker
wait for another one that stands still.

A bucket is one number, the time at which it will be full again (GCRA): nothing has to be refilled, and a new rate or
burst holds for every bucket at once. The file is a table of fixed size, eight cells to a set. Whoever needs a cell in
a full set takes the one that is full again first, so a flood of a million addresses, each of which asks once, pushes
out buckets that have lost next to nothing, and never one that is empty.

Why a file under a lock: taking and leaving one cost (µs of CPU, one process) 2.5 with `fcntl` ranges, 1.5 with
`flock`, 0.2 with a POSIX semaphore, beside 0.5 for the check itself; to ask the router is a round trip through its
loop. A semaphore is held for ever by a worker that was killed inside; without a lock two workers would grant the same
token twice; the kernel takes a `flock` away from whoever dies. One lock for the table and not one for each set: it is
held for 2 µs, and both buckets of a request are paid, or neither, under it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import struct
import time
from collections.abc import Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from time import monotonic_ns
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
_LOCK_NOW: Final = LOCK_EX | LOCK_NB
_NANOSECONDS: Final = 1_000_000_000
_words_at: Final = struct.Struct(f"={WAYS}Q").unpack_from


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


class Bucket:
    """Somebody's cell in the table, as far as this process knows where it is.

    `first`: the first word of the set, `tag`: whose the cell is, `at`: the word where it was last.
    """

    __slots__ = ("at", "first", "limit", "tag")

    def __init__(self, first: int, tag: int, limit: Rate) -> None:
        self.first, self.tag, self.limit = first, tag, limit
        self.at = first


Paid = tuple[int, int]
"""The index of the bucket that could not pay (`PAID` if all have), and the ns until that one, or the emptiest of all,
is full again, after the payment or without it."""
PAID: Final = -1


class Cells:
    """A table of `sets` sets in the file at `path`, opened on first use: after the fork, else all share one lock."""

    def __init__(self, path: Path, sets: int) -> None:
        self._path = path
        self._sets = sets
        self._size = _HEADER_BYTES + sets * WAYS * _CELL_BYTES
        self._descriptor = -1
        self._words = memoryview(b"")
        self._key = b""
        self._patience = _PATIENCE_SECONDS

    def bucket(self, kind: str, name: str, limit: Rate) -> Bucket:
        """The bucket of this name. The hash is keyed: nobody can choose names that share a set."""
        if not self._key:
            self._open()
        digest = hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=16, key=self._key).digest()
        chosen = int.from_bytes(digest[:8], "little") % self._sets
        first = (_HEADER_BYTES + chosen * WAYS * _CELL_BYTES) // 8
        return Bucket(first, int.from_bytes(digest[8:], "little") or 1, limit)

    def pay(self, cost: int, buckets: Sequence[Bucket]) -> Paid:
        """Takes `cost` tokens out of every bucket, or, if one has not as many, out of none; below 0 it gives back."""
        words, worst = self._words, 0
        after: list[int] = []
        held = self._lock()
        try:
            now = monotonic_ns()
            for bucket in buckets:
                limit = bucket.limit
                if words[bucket.at] != bucket.tag:
                    _claim(words, bucket)
                backlog = words[bucket.at + WAYS] - now
                if backlog < 0:
                    backlog = 0
                elif backlog > limit.horizon:  # the burst was made smaller, or the clock began anew with the host
                    backlog = limit.horizon
                    words[bucket.at + WAYS] = now + backlog
                left = backlog + cost * limit.interval
                if left > limit.horizon:
                    return len(after), backlog
                if left > worst:
                    worst = left
                after.append(left)
            for bucket, left in zip(buckets, after, strict=True):
                words[bucket.at + WAYS] = now + left if left > 0 else now
        finally:
            if held:
                flock(self._descriptor, LOCK_UN)
        return PAID, worst

    def mark(self, bucket: Bucket, seconds: float) -> None:
        """Has `marked` answer yes for so long."""
        held = self._lock()
        try:
            if self._words[bucket.at] != bucket.tag:
                _claim(self._words, bucket)
            self._words[bucket.at + WAYS] = monotonic_ns() + round(seconds * _NANOSECONDS)
        finally:
            if held:
                flock(self._descriptor, LOCK_UN)

    def marked(self, bucket: Bucket, seconds: float) -> bool:
        """Whether it was marked, for `seconds` from then on, and that time has not passed."""
        tags = _words_at(self._words, bucket.first * 8)
        if bucket.tag not in tags:
            return False
        until = self._words[bucket.first + tags.index(bucket.tag) + WAYS]
        return 0 < until - monotonic_ns() <= seconds * _NANOSECONDS

    def _lock(self) -> bool:
        try:
            flock(self._descriptor, _LOCK_NOW)
        except BlockingIOError:
            return self._wait()
        self._patience = _PATIENCE_SECONDS
        return True

    def _wait(self) -> bool:
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            os.sched_yield()
            with contextlib.suppress(BlockingIOError):
                flock(self._descriptor, _LOCK_NOW)
                return True
        self._patience = 0.0
        return False

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
        flock(self._descriptor, LOCK_EX)
        try:
            if not memory[_KEY_BYTES]:
                memory[:_KEY_BYTES] = os.urandom(_KEY_BYTES)
                memory[_KEY_BYTES] = 1
        finally:
            flock(self._descriptor, LOCK_UN)


def _claim(words: memoryview, bucket: Bucket) -> None:
    """Finds the cell of this bucket, or takes one for it: that which is full again first, so it lost least."""
    tags = _words_at(words, bucket.first * 8)
    if bucket.tag in tags:
        bucket.at = bucket.first + tags.index(bucket.tag)
        return
    times = _words_at(words, (bucket.first + WAYS) * 8)
    bucket.at = bucket.first + times.index(min(times))
    words[bucket.at] = bucket.tag
    words[bucket.at + WAYS] = 0
