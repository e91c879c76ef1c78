"""What a guest's memory was when it was last captured, and what changed since.

Owns the copy and the comparison. A copy, not hashes: comparing runs at the speed of memory (0.1 ms a MiB), any
hash that cannot be fooled is ten times slower; where a memory was never touched, neither is the copy, so that
it takes no memory. Must never be used while the guest runs.
"""

from __future__ import annotations

import mmap
from typing import Any, Final

from caxton.executor.binding.capi import ffi, lib
from caxton.executor.binding.memory import Memory
from caxton.protocol.snapshots import BLOCK_BYTES

LEAP_BYTES: Final = 65_536
"""Compared at once; only where that differs, block by block. A wasm page, so a memory is a multiple of it."""
_MAP_NORESERVE: Final = 0x4000  # Linux; Python names it from 3.13 on
_FLAGS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
_compare = lib.memcmp


class Image:
    """The image of `memory`, which never grows beyond `limit` bytes; at first all zero."""

    __slots__ = ("_base", "_copy", "_mapping", "_memory")

    def __init__(self, memory: Memory, limit: int) -> None:
        self._memory = memory
        self._mapping = mmap.mmap(-1, max(limit, LEAP_BYTES), flags=_FLAGS)
        self._copy: Any = ffi.from_buffer("uint8_t[]", self._mapping, require_writable=True)
        self._base = memory.base()

    def take(self, start: int, end: int) -> list[tuple[int, bytes]]:
        """The blocks of `memory[start:end]` that changed, by number; from now on they are in the image."""
        base, copy, found = self._base, self._copy, []
        for at in self._differing(start, end):
            found.append((at // BLOCK_BYTES, bytes(ffi.buffer(base + at, BLOCK_BYTES))))
            ffi.memmove(copy + at, base + at, BLOCK_BYTES)
        return found

    def put(self, offset: int, data: bytes | memoryview) -> None:
        """Writes into the image; the memory gets it by `write_back`."""
        if offset < 0 or offset + len(data) > len(self._mapping):
            raise ValueError("outside of the image")
        ffi.memmove(self._copy + offset, data, len(data))

    def write_back(self, start: int, end: int) -> None:
        """Makes `memory[start:end]` what the image is."""
        base, copy = self._base, self._copy
        for at in self._differing(start, end):
            ffi.memmove(base + at, copy + at, BLOCK_BYTES)

    def close(self) -> None:
        """Gives the copy back."""
        self._base = self._copy = None
        self._mapping.close()

    def _differing(self, start: int, end: int) -> list[int]:
        base, copy, found = self._base, self._copy, []
        for leap in range(start, end, LEAP_BYTES):
            if _compare(base + leap, copy + leap, LEAP_BYTES):
                found += [
                    at
                    for at in range(leap, leap + LEAP_BYTES, BLOCK_BYTES)
                    if _compare(base + at, copy + at, BLOCK_BYTES)
                ]
        return found
