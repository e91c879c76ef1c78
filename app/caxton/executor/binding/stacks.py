"""Fiber stacks that are used again: mapping and unmapping one costs more than a short guest's whole run.

Owns the memory of the stacks that fibers run on. Must never hand out one that is still in use, and must
never keep more than a few for later: a stack that was deep once stays as large as it was.

Nothing of the last guest can be read from a stack by the next: wasm has no access to it but by locals, which
compiled code always sets first.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

from wasmtime import Config
from wasmtime import _bindings as bindings

GUARD_BYTES: Final = 64 * 1024
"""No access below a stack; wasmtime's own guard is one page, which a large C frame could step over."""
KEPT: Final = 16

_NOWHERE: Final = 2**64 - 1
_PROT_NONE: Final = 0
_word = ctypes.c_uint64
_words = ctypes.c_uint64 * 3

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_uint64
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_uint64, ctypes.c_size_t]

_sizes: Final[dict[int, int]] = {}
_free: Final[dict[int, list[int]]] = {}


def _take(size: int) -> int:
    """The lowest address of a stack of `size` bytes (whole pages); MemoryError when there is no room."""
    free = _free.setdefault(size, [])
    if free:
        return free.pop()
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    start: int = _libc.mmap(None, size + GUARD_BYTES, _PROT_NONE, flags, -1, 0)
    if start == _NOWHERE:
        raise MemoryError("no room for a stack")
    base = start + GUARD_BYTES
    if _libc.mprotect(base, size, mmap.PROT_READ | mmap.PROT_WRITE) != 0:
        _libc.munmap(start, size + GUARD_BYTES)
        raise MemoryError("no room for a stack")
    _sizes[base] = size
    return base


def _give(base: int) -> None:
    size = _sizes[base]
    free = _free[size]
    if len(free) < KEPT:
        free.append(base)
        return
    del _sizes[base]
    _libc.munmap(base - GUARD_BYTES, size + GUARD_BYTES)


def _new_stack(_env: int | None, size: int, _zeroed: bool, out: int) -> int | None:
    """wasmtime wants a stack: fills `wasmtime_stack_memory_t` (env, where it is, how it is given back)."""
    try:
        page = mmap.PAGESIZE
        base = _take((size + page - 1) // page * page)
        made = _words.from_address(out)
        made[0], made[1], made[2] = base, _GET_ADDRESS, _GIVE_ADDRESS
        return None
    except BaseException:
        error = bindings.wasmtime_error_new(b"no memory for a stack")
        return ctypes.cast(error, ctypes.c_void_p).value


def _top(base: int, out: int) -> int:
    """The address behind the stack's last byte; its size goes to `out`."""
    size = _sizes[base]
    _word.from_address(out).value = size
    return base + size


_NewStack = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_void_p)
_new_stack_callback: Final = _NewStack(_new_stack)
_top_callback: Final = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(_top)
_give_callback: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_give)
_GET_ADDRESS: Final = ctypes.cast(_top_callback, ctypes.c_void_p).value or 0
_GIVE_ADDRESS: Final = ctypes.cast(_give_callback, ctypes.c_void_p).value or 0


def use_pool(config: Config) -> None:
    """Fibers of the engine that is made of `config` run on stacks of this module."""
    # wasmtime_stack_creator_t: env, new_stack, finalizer; wasmtime copies it
    creator = (ctypes.c_void_p * 3)(None, ctypes.cast(_new_stack_callback, ctypes.c_void_p), None)
    kind = ctypes.POINTER(bindings.wasmtime_stack_creator_t)
    bindings.wasmtime_config_host_stack_creator_set(config.ptr(), ctypes.cast(creator, kind))


def counts() -> tuple[int, int]:
    """Stacks that exist, and how many of them wait for a use."""
    return len(_sizes), sum(len(free) for free in _free.values())
