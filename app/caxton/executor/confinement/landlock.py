"""Landlock: below which directories a process may touch files, as the kernel enforces it.

Owns the three system calls. Where the kernel has no Landlock nothing happens and the caller is told; what holds
then is the mount namespace of the service and the file permissions. Must never be relied on alone.

It binds the calling thread and what it starts from then on, so it comes before any other thread.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_RULE: Final = struct.Struct("=Qi")
_EXECUTE: Final = 1 << 0
_MAKE: Final = 1 << 6 | 1 << 11  # character and block devices
_FIRST_ABI: Final = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_BY_ABI: Final = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def handled(version: int) -> int:
    """Every right to files that a kernel of this ABI `version` knows."""
    return _FIRST_ABI | sum(bit for since, bit in _BY_ABI if version >= since)


def restrict(beneath: Iterable[Path]) -> bool:
    """From now on files exist only below these directories, and none is executed or a device. False: no Landlock.

    A directory that is missing is left out. `OSError` when the kernel has Landlock and refuses.
    """
    version = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    rights = handled(version)
    attributes = struct.pack("=Q", rights)
    ruleset = _called(_libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for directory in beneath:
            _permit(ruleset, directory, rights & ~(_EXECUTE | _MAKE | _IOCTL_DEVICE))
        _called(_libc.syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _permit(ruleset: int, directory: Path, rights: int) -> None:
    try:
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        _called(_libc.syscall(_ADD, ruleset, _PATH_BENEATH, _RULE.pack(rights, parent), 0))
    finally:
        os.close(parent)


def _called(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
