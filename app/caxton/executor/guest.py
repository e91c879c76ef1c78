"""What host functions see of a guest: its memory, and the ways to stop it.

Owns the border between the binding and everything that a guest can call. Must never import wasmtime,
so that host functions can be read and tested by themselves.
"""

from __future__ import annotations

from typing import Protocol

from caxton.protocol.errors import Code


class OutOfBounds(Exception):
    """The guest named bytes outside its memory; becomes `INVALID` (-2) or WASI's `EFAULT`, never a trap."""


class StopGuest(Exception):
    """Ends the execution from inside a host function: the binding turns it into a trap with this code."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class GuestExit(Exception):
    """WASI `proc_exit`: not an error; the binding ends the guest with this exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class GuestMemory(Protocol):
    """The guest's linear memory as it is at this moment (it may grow between two calls).

    All offsets are unsigned 32-bit; every method raises `OutOfBounds` when a byte lies outside.
    """

    def size(self) -> int:
        """Bytes of memory now."""
        ...

    def read(self, pointer: int, length: int) -> bytes:
        """A copy of `length` bytes."""
        ...

    def write(self, pointer: int, data: bytes) -> None:
        """Copies `data` into the guest."""
        ...

    def check(self, pointer: int, length: int) -> None:
        """Only the bounds check."""
        ...
