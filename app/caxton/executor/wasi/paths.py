"""From a guest's path to something open on the host.

Owns reading paths out of guest memory and resolving them below a directory descriptor, always by the
kernel (`kernel.open_beneath`). Must never build a host path by text or check one before it is used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import LOOKUP_SYMLINK_FOLLOW, Errno, Refused
from caxton.executor.wasi.descriptors import Directory
from caxton.executor.wasi.kernel import open_beneath

MAX_PATH_BYTES: Final = 4096
_PARENT: Final = os.O_PATH | os.O_DIRECTORY


def read_path(memory: GuestMemory, pointer: int, length: int) -> bytes:
    """A path from the guest: not empty, no NUL, UTF-8, at most 4,096 bytes."""
    memory.check(pointer, length)
    if length > MAX_PATH_BYTES:
        raise Refused(Errno.ENAMETOOLONG)
    path = memory.read(pointer, length)
    if not path:
        raise Refused(Errno.ENOENT)
    if b"\0" in path:
        raise Refused(Errno.EINVAL)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Errno.EILSEQ) from None
    return path


def follows(lookup_flags: int) -> bool:
    """Whether a link at the end of the path is to be followed."""
    return bool(lookup_flags & LOOKUP_SYMLINK_FOLLOW)


@contextmanager
def located(directory: Directory, path: bytes, follow: bool) -> Iterator[int]:
    """What `path` names, opened by O_PATH: good for fstat and the like, without side effects."""
    descriptor = open_beneath(directory.host, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def parent_of(directory: Directory, path: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """The directory that holds the last component of `path`, that component, and whether a `/` followed it.

    The name is one component without a slash, so `*at` calls on it cannot leave the parent; it is neither
    `.` nor `..`, which no operation on names can mean (EINVAL; EPERM where it leads out).
    """
    stripped = path.rstrip(b"/")
    head, slash, name = stripped.rpartition(b"/")
    if name in (b"", b".", b".."):
        with located(directory, path, follow=True):
            raise Refused(Errno.EINVAL)
    if not slash:
        yield directory.host, name, stripped != path
        return
    parent = open_beneath(directory.host, head + b"/", _PARENT)
    try:
        yield parent, name, stripped != path
    finally:
        os.close(parent)


def status(parent: int, name: bytes) -> os.stat_result:
    """`lstat` of one component."""
    return os.stat(name, dir_fd=parent, follow_symlinks=False)


def status_or_none(parent: int, name: bytes) -> os.stat_result | None:
    """`lstat` of one component; None when there is nothing."""
    try:
        return status(parent, name)
    except FileNotFoundError:
        return None


def is_directory(found: os.stat_result | None) -> bool:
    """Whether something is there and is a directory itself, not a link to one."""
    return found is not None and stat.S_ISDIR(found.st_mode)
