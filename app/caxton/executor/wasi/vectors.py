"""Scattered bytes: lists of (pointer, length) in guest memory.

Owns reading those lists and moving data through them, bounded. Must never do I/O.
"""

from __future__ import annotations

from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import IOVEC, U32_MAX, Errno, Refused

MAX_VECTORS: Final = 1024
MAX_TRANSFER_BYTES: Final = 1 << 20
"""One call moves at most this much of a file; a short read or write is every program's daily bread."""

Vectors = list[tuple[int, int]]


def vectors(memory: GuestMemory, pointer: int, count: int) -> Vectors:
    """The list at `pointer`, each entry's bounds checked; refuses more than 1,024 entries or 4 GiB."""
    if count > MAX_VECTORS:
        raise Refused(Errno.EINVAL)
    entries: Vectors = list(IOVEC.iter_unpack(memory.read(pointer, count * IOVEC.size)))
    total = 0
    for start, length in entries:
        memory.check(start, length)
        total += length
    if total > U32_MAX:
        raise Refused(Errno.EINVAL)
    return entries


def total_bytes(entries: Vectors) -> int:
    """Sum of the lengths."""
    return sum(length for _, length in entries)


def gather(memory: GuestMemory, entries: Vectors, limit: int) -> bytes:
    """Up to `limit` bytes of the guest, one after the other."""
    parts = []
    for start, length in entries:
        if limit <= 0:
            break
        parts.append(memory.read(start, min(length, limit)))
        limit -= length
    return parts[0] if len(parts) == 1 else b"".join(parts)


def scatter(memory: GuestMemory, entries: Vectors, data: bytes) -> None:
    """Spreads `data`, which is at most as long as the entries together."""
    offset = 0
    for start, length in entries:
        if offset >= len(data):
            return
        memory.write(start, data[offset : offset + length])
        offset += length
