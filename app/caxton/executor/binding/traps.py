"""How a guest ended when it did not return: traps and errors, read and freed.

Owns the text and codes of wasmtime's traps. Must never decide what a trap means for a message.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any, Final

from caxton.executor.binding.capi import ffi, lib

MAX_BACKTRACE_BYTES: Final = 8_000
_FRAME: Final = re.compile(r"\s*\d+:\s")


class TrapCode(IntEnum):
    """The traps of wasmtime that have a public code of their own; all others are plain failures."""

    STACK_OVERFLOW = 0
    UNREACHABLE = 9
    INTERRUPT = 10
    OUT_OF_FUEL = 11


class GuestTrap(Exception):
    """The guest trapped. `code` is wasmtime's number (None for an error), `backtrace` its wasm frames."""

    def __init__(self, code: int | None, detail: str, backtrace: str | None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.backtrace = backtrace


def new_trap(text: bytes) -> int:
    """A trap of the host's own, as an address that a callback may return."""
    return int(ffi.cast("uintptr_t", lib.wasmtime_trap_new(text, len(text))))


def take_trap(trap: Any) -> GuestTrap:
    """Reads and frees a `wasm_trap_t*`."""
    code = ffi.new("uint8_t*")
    known = lib.wasmtime_trap_code(trap, code)
    detail, backtrace = _split(_message(trap, lib.wasm_trap_message))
    lib.wasm_trap_delete(trap)
    return GuestTrap(code[0] if known else None, detail, backtrace)


def take_error(error: Any) -> GuestTrap:
    """Reads and frees a `wasmtime_error_t*`."""
    detail, backtrace = _split(_message(error, lib.wasmtime_error_message))
    lib.wasmtime_error_delete(error)
    return GuestTrap(None, detail, backtrace)


def _message(source: Any, read: Any) -> str:
    out: Any = ffi.new("byte_vec_t*")
    read(source, out)
    text: str = bytes(ffi.buffer(out.data, out.size)).decode(errors="replace")
    lib.wasm_byte_vec_delete(out)
    return text.strip("\0 \n")


def _split(text: str) -> tuple[str, str | None]:
    lines = text.splitlines()
    frames = [line.strip() for line in lines if _FRAME.match(line)]
    others = [line.strip() for line in lines if line.strip() and not _FRAME.match(line)]
    backtrace = "\n".join(frames)[:MAX_BACKTRACE_BYTES] or None
    return (others[-1] if others else "trap")[:500], backtrace
