"""The exported mutable globals of one instance, bit by bit.

Owns their way into bytes and back. Must never interpret a value: a NaN keeps its bits.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.executor.binding.capi import NULL, ffi, lib
from caxton.executor.binding.traps import take_error

_SIZES: Final = (4, 8, 4, 8, 16)
"""Bytes of i32, i64, f32, f64, v128, by their kind."""


class Variables:
    """`dump` and `load`: for each global its kind (one byte) and its bits, little-endian."""

    __slots__ = ("_context", "_count", "_items", "_value")

    def __init__(self, context: Any, items: Any, count: int) -> None:
        """`items`: an `extern_t[]` with `count` globals of numeric types."""
        self._context = context
        self._items = items
        self._count = count
        self._value: Any = ffi.new("val_t*")

    def dump(self) -> bytes:
        """All globals now."""
        value, parts = self._value, []
        bits = ffi.buffer(ffi.addressof(value, "of"))
        for index in range(self._count):
            lib.wasmtime_global_get(self._context, self._items[index].of.variable, value)
            parts.append(bytes([value.kind]) + bits[: _SIZES[value.kind]])
        return b"".join(parts)

    def load(self, data: bytes) -> bool:
        """Sets all globals; False, and nothing is to be relied on, when `data` is of other globals."""
        value, position = self._value, 0
        bits = ffi.buffer(ffi.addressof(value, "of"))
        for index in range(self._count):
            kind = data[position] if position < len(data) else len(_SIZES)
            if kind >= len(_SIZES) or len(data) - position - 1 < _SIZES[kind]:
                return False
            value.kind = kind
            bits[: _SIZES[kind]] = data[position + 1 : position + 1 + _SIZES[kind]]
            position += 1 + _SIZES[kind]
            error = lib.wasmtime_global_set(self._context, self._items[index].of.variable, value)
            if error != NULL:
                take_error(error)
                return False
        return position == len(data)
