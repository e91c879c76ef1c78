"""`path_open`.

Owns which host flags an open gets and what may be opened at all: regular files and directories. Must
never open a FIFO, device or socket: even looking at one can block or have effects.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import U32, Errno, FdFlags, OFlags, Refused, Rights
from caxton.executor.wasi.descriptors import Descriptor, Directory, File, directory_rights, file_rights
from caxton.executor.wasi.files import resize
from caxton.executor.wasi.kernel import open_beneath
from caxton.executor.wasi.paths import follows, located, read_path
from caxton.executor.wasi.state import WasiState

_ALL_OFLAGS: Final = OFlags.CREAT | OFlags.DIRECTORY | OFlags.EXCL | OFlags.TRUNC
_ALL_FDFLAGS: Final = FdFlags.APPEND | FdFlags.DSYNC | FdFlags.NONBLOCK | FdFlags.RSYNC | FdFlags.SYNC
# O_NONBLOCK: should a FIFO take a file's place between look and open, the open still returns at once.
_ALWAYS: Final = os.O_NONBLOCK | os.O_NOCTTY
_FILE_MODE: Final = 0o666


@dataclass(frozen=True, slots=True)
class _Request:
    """What one `path_open` asks for."""

    path: bytes
    follow: bool
    oflags: int
    flags: int
    read: bool
    write: bool

    def wants(self, flag: int) -> bool:
        return bool(self.oflags & flag)


def path_open(
    state: WasiState, memory: GuestMemory, fd: int, lookup_flags: int, pointer: int, length: int,
    oflags: int, rights_base: int, rights_inheriting: int, flags: int, result: int,
) -> None:  # fmt: skip
    """Opens a file or directory. FD_READ and FD_WRITE among the rights asked for decide how."""
    memory.check(result, U32.size)
    directory = state.table.directory(fd, Rights.PATH_OPEN)
    if oflags & ~_ALL_OFLAGS or flags & ~_ALL_FDFLAGS:
        raise Refused(Errno.EINVAL)
    request = _Request(
        path=read_path(memory, pointer, length),
        follow=follows(lookup_flags),
        oflags=oflags,
        flags=flags,
        read=bool(rights_base & Rights.FD_READ),
        write=bool(rights_base & Rights.FD_WRITE) and not oflags & OFlags.DIRECTORY,
    )
    if request.wants(OFlags.DIRECTORY) and request.wants(OFlags.CREAT | OFlags.TRUNC):
        raise Refused(Errno.EINVAL)
    state.table.room()
    memory.write(result, U32.pack(state.table.add(_open(directory, request))))


def _open(directory: Directory, request: _Request) -> Descriptor:
    exists = _look(directory, request)
    if not directory.root.writable and (request.write or request.wants(OFlags.TRUNC) or not exists):
        raise Refused(Errno.EROFS)
    quota = directory.root.quota
    if quota is not None and not exists:
        quota.room_for_name()
    host = open_beneath(directory.host, request.path, _host_flags(request, exists), 0 if exists else _FILE_MODE)
    try:
        return _descriptor(directory, request, host, created=not exists)
    except BaseException:
        os.close(host)
        raise


def _look(directory: Directory, request: _Request) -> bool:
    """Whether there is something to open; refuses what must not be opened."""
    try:
        with located(directory, request.path, request.follow) as descriptor:
            mode = os.fstat(descriptor).st_mode
    except FileNotFoundError:
        if request.wants(OFlags.CREAT):
            return False
        raise
    if request.wants(OFlags.CREAT) and request.wants(OFlags.EXCL):
        raise Refused(Errno.EEXIST)
    if stat.S_ISLNK(mode):
        raise Refused(Errno.ELOOP)
    _refuse_special(mode)
    if stat.S_ISDIR(mode) and (request.write or request.wants(OFlags.CREAT | OFlags.TRUNC)):
        raise Refused(Errno.EISDIR)
    if request.wants(OFlags.DIRECTORY) and not stat.S_ISDIR(mode):
        raise Refused(Errno.ENOTDIR)
    return True


def _refuse_special(mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise Refused(Errno.EACCES)


def _host_flags(request: _Request, exists: bool) -> int:
    """Truncation is not among them: it is done on the open file, once its kind is certain."""
    flags = _ALWAYS
    if request.write or request.wants(OFlags.TRUNC):
        flags |= os.O_RDWR if request.read or not request.write else os.O_WRONLY
    if not request.follow:
        flags |= os.O_NOFOLLOW
    if request.wants(OFlags.DIRECTORY):
        flags |= os.O_DIRECTORY
    if not exists:
        flags |= os.O_CREAT | (os.O_EXCL if request.wants(OFlags.EXCL) else 0)
    if request.flags & FdFlags.APPEND:
        flags |= os.O_APPEND
    return flags


def _descriptor(directory: Directory, request: _Request, host: int, *, created: bool) -> Descriptor:
    root = directory.root
    found = os.fstat(host)
    _refuse_special(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return Directory(host, root, directory_rights(root), flags=request.flags)
    file = File(host, root, file_rights(request.read, request.write), request.flags)
    if root.quota is not None:
        root.quota.names += created
    if request.wants(OFlags.TRUNC) and found.st_size:
        resize(file, 0)
    if root.quota is not None:
        root.quota.opened[found.st_ino] += 1
    return file
