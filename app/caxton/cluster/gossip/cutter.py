"""Where one msgpack value ends and the next begins: serf sends them back to back, without lengths.

Owns this arithmetic. Must never look into a value: `msgspec` decodes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_VALUE_BYTES: Final = 16 * 1024 * 1024
"""A thousand members with tags of full length take about one."""

_FIXED: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 1),
    0xCA: 5,
    0xCB: 9,
    0xCC: 2,
    0xCD: 3,
    0xCE: 5,
    0xCF: 9,
    0xD0: 2,
    0xD1: 3,
    0xD2: 5,
    0xD3: 9,
    0xD4: 3,
    0xD5: 4,
    0xD6: 6,
    0xD7: 10,
    0xD8: 18,
}
"""Bytes of values whose first byte says all: nil, booleans, numbers, extensions of fixed size."""
_COUNTED: Final = {
    0xC4: (1, 0),
    0xC5: (2, 0),
    0xC6: (4, 0),
    0xC7: (1, 1),
    0xC8: (2, 1),
    0xC9: (4, 1),
    0xD9: (1, 0),
    0xDA: (2, 0),
    0xDB: (4, 0),
}
"""Bytes, extensions, texts: how many bytes their length takes, and how many come between it and what it counts."""
_HOLDERS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Arrays and maps: how many bytes their count takes, and how many values it counts each time."""


class Cutter:
    """Cuts a byte stream into values; goes on where it was when more arrives."""

    __slots__ = ("_at", "_buffer", "_missing")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._missing = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields every value that is whole after `data`. `ValueError` for one that is too long, or no msgpack."""
        self._buffer += data
        while (step := _step(self._buffer, self._at)) is not None:
            size, inner = step
            if self._at + size > MAX_VALUE_BYTES:
                raise ValueError(f"a value of more than {MAX_VALUE_BYTES} bytes")
            if self._at + size > len(self._buffer):
                return
            self._at += size
            self._missing += inner - 1
            if self._missing == 0:
                value = bytes(self._buffer[: self._at])
                del self._buffer[: self._at]
                self._at, self._missing = 0, 1
                yield value


def _step(buffer: bytearray, at: int) -> tuple[int, int] | None:
    """Bytes of the value at `at` without what is in it, and how many values are; None: its head is not there yet."""
    if at >= len(buffer):
        return None
    first = buffer[at]
    if first < 0x80 or first >= 0xE0:
        return 1, 0
    if first < 0xA0:
        return 1, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first < 0xC0:
        return 1 + (first & 0x1F), 0
    if first in _FIXED:
        return _FIXED[first], 0
    width, factor = _COUNTED.get(first) or _HOLDERS.get(first) or (0, 0)
    if width == 0:
        raise ValueError(f"no msgpack: {first:#x}")
    if at + 1 + width > len(buffer):
        return None
    count = int.from_bytes(buffer[at + 1 : at + 1 + width], "big")
    return (1 + width, count * factor) if first in _HOLDERS else (1 + width + factor + count, 0)
