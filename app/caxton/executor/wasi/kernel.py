"""The three kernel calls that Python does not offer: openat2, getdents64 and utimensat on a descriptor.

Owns the border to libc. Every path a guest names goes through `open_beneath`, so the kernel itself keeps
it inside its directory. Must never decide what a guest may do.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_BENEATH: Final = 0x08
_AT_EMPTY_PATH: Final = 0x1000
_ATTEMPTS: Final = 64
UTIME_NOW: Final = (1 << 30) - 1
UTIME_OMIT: Final = (1 << 30) - 2


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
_getdents64 = _libc.getdents64
_getdents64.restype = ctypes.c_ssize_t
_getdents64.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_utimensat = _libc.utimensat
_utimensat.restype = ctypes.c_int
_utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_Timespec), ctypes.c_int)


def _failed() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def open_beneath(directory: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Opens `path` without ever leaving `directory`: no `..`, no absolute path, no link may lead out.

    Raises `PermissionError` (EPERM) for an escape, `OSError` otherwise. A path with `..` can meet a rename
    elsewhere on the machine, which the kernel reports as EAGAIN; it is tried again a bounded number of times.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_ATTEMPTS):
        descriptor: int = _syscall(_OPENAT2, directory, path, ctypes.byref(how), ctypes.sizeof(how))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number == errno.EXDEV:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


def read_entries(directory: int, buffer_bytes: int) -> bytes:
    """The next directory entries as the kernel's `linux_dirent64` records; empty at the end."""
    buffer = ctypes.create_string_buffer(buffer_bytes)
    length: int = _getdents64(directory, buffer, buffer_bytes)
    if length < 0:
        raise _failed()
    return buffer.raw[:length]


def set_times(descriptor: int, accessed: tuple[int, int], modified: tuple[int, int]) -> None:
    """Sets the times (seconds, nanoseconds or `UTIME_*`) of what is open, be it by O_PATH, a link or a file."""
    times = (_Timespec * 2)(_Timespec(*accessed), _Timespec(*modified))
    if _utimensat(descriptor, b"", times, _AT_EMPTY_PATH) != 0:
        raise _failed()
