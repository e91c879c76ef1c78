"""A module made of what the supervisor has verified, without opening anything.

Owns the way from a sealed memfd to a module. Must never take bytes that anybody could still change: loading them is
running native code.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wasmtime import Engine, Module, WasmtimeError
from wasmtime import _bindings as capi

SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_FAILED: Final = 2**64 - 1

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_uint64
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_uint64, ctypes.c_size_t]


class Refused(Exception):
    """Why the artifact is not loaded."""


def load(engine: Engine, descriptor: int) -> Module:
    """The module in `descriptor`, which stays the caller's. `Refused` when it is not sealed or does not fit."""
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise Refused("its bytes could still be changed by others")
    pointer = ctypes.POINTER(capi.wasmtime_module_t)()
    with _mapped(descriptor) as (address, size):
        code = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        error = capi.wasmtime_module_deserialize(engine.ptr(), code, size, ctypes.byref(pointer))
    if error:
        raise Refused(str(WasmtimeError._from_ptr(error)))
    return Module._from_ptr(pointer)


@contextmanager
def _mapped(descriptor: int) -> Iterator[tuple[int, int]]:
    """Address and size. Not by `mmap.mmap`, which asks for the file's status, a call that takes paths too."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    address: int = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0)
    if address == _FAILED:
        raise Refused(f"it cannot be mapped: {os.strerror(ctypes.get_errno())}")
    try:
        yield address, size
    finally:
        _libc.munmap(address, size)
