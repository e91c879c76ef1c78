"""What descriptors and paths are: `fdstat`, `filestat`, times, granted names.

Owns reporting and changing attributes. Must never open what it describes other than by O_PATH.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import (
    CHANGE_RIGHTS,
    FDSTAT,
    FILESTAT,
    PRESTAT,
    U64_MAX,
    Errno,
    FdFlags,
    Filetype,
    FstFlags,
    Refused,
    Rights,
    filetype_of,
)
from caxton.executor.wasi.descriptors import Descriptor, Directory, File
from caxton.executor.wasi.kernel import UTIME_NOW, UTIME_OMIT, set_times
from caxton.executor.wasi.paths import follows, located, read_path
from caxton.executor.wasi.state import WasiState

_NS: Final = 1_000_000_000
_KNOWN_FST: Final = FstFlags.ATIM | FstFlags.ATIM_NOW | FstFlags.MTIM | FstFlags.MTIM_NOW
_SETTABLE_FLAGS: Final = FdFlags.APPEND | FdFlags.NONBLOCK


def _type_of(descriptor: Descriptor) -> Filetype:
    if isinstance(descriptor, Directory):
        return Filetype.DIRECTORY
    # The standard streams are neither a terminal nor a file: `isatty` says no, so libc buffers whole blocks.
    return Filetype.REGULAR_FILE if isinstance(descriptor, File) else Filetype.UNKNOWN


def fd_fdstat_get(state: WasiState, memory: GuestMemory, fd: int, result: int) -> None:
    """Type, flags and rights."""
    descriptor = state.table.get(fd)
    inheriting = descriptor.inheriting if isinstance(descriptor, Directory) else 0
    if isinstance(descriptor, Directory) and descriptor.root.writable:
        inheriting |= CHANGE_RIGHTS & descriptor.rights
    memory.write(result, FDSTAT.pack(_type_of(descriptor), descriptor.flags, descriptor.rights, inheriting))


def fd_fdstat_set_flags(state: WasiState, memory: GuestMemory, fd: int, flags: int) -> None:
    """Sets APPEND and NONBLOCK; the others can only be given to `path_open`."""
    descriptor = state.table.get(fd)
    if (flags ^ descriptor.flags) & ~_SETTABLE_FLAGS:
        raise Refused(Errno.EINVAL)
    if isinstance(descriptor, File):
        append = os.O_APPEND if flags & FdFlags.APPEND else 0
        _set_host_append(descriptor.host, append)
    descriptor.flags = flags


def _set_host_append(host: int, append: int) -> None:
    current = fcntl.fcntl(host, fcntl.F_GETFL)
    fcntl.fcntl(host, fcntl.F_SETFL, current & ~os.O_APPEND | append)


def fd_fdstat_set_rights(
    state: WasiState, memory: GuestMemory, fd: int, rights_base: int, rights_inheriting: int
) -> None:
    """Takes rights away; none can be added."""
    descriptor = state.table.get(fd)
    inheriting = descriptor.inheriting if isinstance(descriptor, Directory) else 0
    if rights_base & ~descriptor.rights or rights_inheriting & ~inheriting & ~CHANGE_RIGHTS:
        raise Refused(Errno.ENOTCAPABLE)
    descriptor.rights = rights_base
    if isinstance(descriptor, Directory):
        descriptor.inheriting = rights_inheriting


def _pack_filestat(state: WasiState, found: os.stat_result) -> bytes:
    """The struct for a host `stat`. Times before 1970 count as 1970.

    They are 0 for a guest that may not know the time, or not the real one: a file's times would tell.
    """
    times = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
    if not state.clocks or state.deterministic is not None:
        times = (0, 0, 0)
    kind = filetype_of(found.st_mode)
    device = found.st_dev & U64_MAX
    return FILESTAT.pack(device, found.st_ino, kind, found.st_nlink, found.st_size, *(max(0, ns) for ns in times))


def fd_filestat_get(state: WasiState, memory: GuestMemory, fd: int, result: int) -> None:
    """Attributes of what is open."""
    descriptor = state.table.get(fd)
    if isinstance(descriptor, File | Directory):
        memory.write(result, _pack_filestat(state, os.fstat(descriptor.host)))
    else:
        memory.write(result, FILESTAT.pack(0, 0, _type_of(descriptor), 0, 0, 0, 0, 0))


def path_filestat_get(
    state: WasiState, memory: GuestMemory, fd: int, lookup_flags: int, pointer: int, length: int, result: int
) -> None:
    """Attributes of what a path names."""
    memory.check(result, FILESTAT.size)
    directory = state.table.directory(fd, Rights.PATH_FILESTAT_GET)
    path = read_path(memory, pointer, length)
    with located(directory, path, follows(lookup_flags)) as descriptor:
        memory.write(result, _pack_filestat(state, os.fstat(descriptor)))


def _times(accessed: int, modified: int, flags: int) -> tuple[tuple[int, int], tuple[int, int]]:
    if flags & ~_KNOWN_FST:
        raise Refused(Errno.EINVAL)
    return (
        _time(accessed, bool(flags & FstFlags.ATIM), bool(flags & FstFlags.ATIM_NOW)),
        _time(modified, bool(flags & FstFlags.MTIM), bool(flags & FstFlags.MTIM_NOW)),
    )


def _time(value: int, given: bool, now: bool) -> tuple[int, int]:
    if given and now:
        raise Refused(Errno.EINVAL)
    if now:
        return 0, UTIME_NOW
    return divmod(value, _NS) if given else (0, UTIME_OMIT)


def fd_filestat_set_times(
    state: WasiState, memory: GuestMemory, fd: int, accessed: int, modified: int, flags: int
) -> None:
    """Sets the times (ns) of what is open; not below a read-only grant."""
    descriptor = state.table.get(fd)
    if not isinstance(descriptor, File | Directory):
        raise Refused(Errno.EBADF)
    if not descriptor.root.writable:
        raise Refused(Errno.EROFS)
    set_times(descriptor.host, *_times(accessed, modified, flags))


def path_filestat_set_times(
    state: WasiState, memory: GuestMemory, fd: int, lookup_flags: int, pointer: int, length: int,
    accessed: int, modified: int, flags: int,
) -> None:  # fmt: skip
    """Sets the times (ns) of what a path names."""
    directory = state.table.directory(fd, Rights.PATH_FILESTAT_SET_TIMES)
    path = read_path(memory, pointer, length)
    times = _times(accessed, modified, flags)
    with located(directory, path, follows(lookup_flags)) as descriptor:
        set_times(descriptor, *times)


def _granted_name(state: WasiState, fd: int) -> bytes:
    descriptor = state.table.get(fd)
    if not isinstance(descriptor, Directory) or descriptor.name is None:
        raise Refused(Errno.EBADF)
    return descriptor.name


def fd_prestat_get(state: WasiState, memory: GuestMemory, fd: int, result: int) -> None:
    """Length of a granted directory's name; EBADF tells libc that there are no more."""
    memory.write(result, PRESTAT.pack(0, len(_granted_name(state, fd))))


def fd_prestat_dir_name(state: WasiState, memory: GuestMemory, fd: int, pointer: int, length: int) -> None:
    """A granted directory's name, without a NUL."""
    name = _granted_name(state, fd)
    memory.check(pointer, length)
    if length < len(name):
        raise Refused(Errno.ENAMETOOLONG)
    memory.write(pointer, name)
