"""WASI preview 1 as numbers: errnos, rights, flags, file types and struct layouts (little endian).

Owns every constant and layout of `wasi_snapshot_preview1`. Must never touch a file or a guest.
"""

from __future__ import annotations

import errno as host
import stat
import struct
from enum import IntEnum
from typing import Final

U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
I64_MAX: Final = 0x7FFF_FFFF_FFFF_FFFF


class Errno(IntEnum):
    """WASI's error numbers; they are not Linux's."""

    SUCCESS = 0
    E2BIG = 1
    EACCES = 2
    EAGAIN = 6
    EBADF = 8
    EBUSY = 10
    EDQUOT = 19
    EEXIST = 20
    EFAULT = 21
    EFBIG = 22
    EILSEQ = 25
    EINTR = 27
    EINVAL = 28
    EIO = 29
    EISDIR = 31
    ELOOP = 32
    EMFILE = 33
    EMLINK = 34
    ENAMETOOLONG = 37
    ENFILE = 41
    ENODEV = 43
    ENOENT = 44
    ENOMEM = 48
    ENOSPC = 51
    ENOSYS = 52
    ENOTDIR = 54
    ENOTEMPTY = 55
    ENOTSUP = 58
    ENXIO = 60
    EOVERFLOW = 61
    EPERM = 63
    EROFS = 69
    ESPIPE = 70
    ESTALE = 72
    ETXTBSY = 74
    EXDEV = 75
    ENOTCAPABLE = 76


class Refused(Exception):
    """A WASI function's answer other than success; never leaves the package."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


_SAME_NAME: Final = {getattr(host, name): number for name, number in Errno.__members__.items() if hasattr(host, name)}
_FROM_HOST: Final[dict[int, Errno]] = {**_SAME_NAME, host.EOPNOTSUPP: Errno.ENOTSUP}


def from_host(number: int | None) -> Errno:
    """WASI's number for Linux's `errno`; whatever a guest cannot understand is `EIO`."""
    return _FROM_HOST.get(number or 0, Errno.EIO)


class Filetype(IntEnum):
    """What a descriptor or a directory entry is. A FIFO has no type of its own in WASI."""

    UNKNOWN = 0
    BLOCK_DEVICE = 1
    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4
    SOCKET_STREAM = 6
    SYMBOLIC_LINK = 7


_FILETYPES: Final = {
    stat.S_IFBLK: Filetype.BLOCK_DEVICE,
    stat.S_IFCHR: Filetype.CHARACTER_DEVICE,
    stat.S_IFDIR: Filetype.DIRECTORY,
    stat.S_IFREG: Filetype.REGULAR_FILE,
    stat.S_IFSOCK: Filetype.SOCKET_STREAM,
    stat.S_IFLNK: Filetype.SYMBOLIC_LINK,
}


def filetype_of(mode: int) -> Filetype:
    """The file type for a `st_mode`."""
    return _FILETYPES.get(stat.S_IFMT(mode), Filetype.UNKNOWN)


class Rights:
    """What a descriptor allows: bits. Plain integers, because enum flags cost a microsecond for each `&`."""

    FD_DATASYNC: Final = 1 << 0
    FD_READ: Final = 1 << 1
    FD_SEEK: Final = 1 << 2
    FD_FDSTAT_SET_FLAGS: Final = 1 << 3
    FD_SYNC: Final = 1 << 4
    FD_TELL: Final = 1 << 5
    FD_WRITE: Final = 1 << 6
    FD_ADVISE: Final = 1 << 7
    FD_ALLOCATE: Final = 1 << 8
    PATH_CREATE_DIRECTORY: Final = 1 << 9
    PATH_CREATE_FILE: Final = 1 << 10
    PATH_LINK_SOURCE: Final = 1 << 11
    PATH_LINK_TARGET: Final = 1 << 12
    PATH_OPEN: Final = 1 << 13
    FD_READDIR: Final = 1 << 14
    PATH_READLINK: Final = 1 << 15
    PATH_RENAME_SOURCE: Final = 1 << 16
    PATH_RENAME_TARGET: Final = 1 << 17
    PATH_FILESTAT_GET: Final = 1 << 18
    PATH_FILESTAT_SET_SIZE: Final = 1 << 19
    PATH_FILESTAT_SET_TIMES: Final = 1 << 20
    FD_FILESTAT_GET: Final = 1 << 21
    FD_FILESTAT_SET_SIZE: Final = 1 << 22
    FD_FILESTAT_SET_TIMES: Final = 1 << 23
    PATH_SYMLINK: Final = 1 << 24
    PATH_REMOVE_DIRECTORY: Final = 1 << 25
    PATH_UNLINK_FILE: Final = 1 << 26
    POLL_FD_READWRITE: Final = 1 << 27
    SOCK_SHUTDOWN: Final = 1 << 28
    SOCK_ACCEPT: Final = 1 << 29


_R: Final = Rights
READ_RIGHTS: Final = _R.FD_READ
WRITE_RIGHTS: Final = _R.FD_WRITE | _R.FD_DATASYNC | _R.FD_ALLOCATE | _R.FD_FILESTAT_SET_SIZE
FILE_RIGHTS: Final = (
    _R.FD_SEEK | _R.FD_TELL | _R.FD_FDSTAT_SET_FLAGS | _R.FD_SYNC | _R.FD_ADVISE | _R.FD_FILESTAT_GET
    | _R.FD_FILESTAT_SET_TIMES | _R.POLL_FD_READWRITE
)  # fmt: skip
STREAM_RIGHTS: Final = _R.FD_FDSTAT_SET_FLAGS | _R.FD_FILESTAT_GET | _R.POLL_FD_READWRITE
LOOKUP_RIGHTS: Final = (
    _R.FD_FDSTAT_SET_FLAGS | _R.FD_SYNC | _R.PATH_OPEN | _R.FD_READDIR | _R.PATH_READLINK
    | _R.PATH_FILESTAT_GET | _R.FD_FILESTAT_GET
)  # fmt: skip
CHANGE_RIGHTS: Final = (
    _R.PATH_CREATE_DIRECTORY | _R.PATH_CREATE_FILE | _R.PATH_LINK_SOURCE | _R.PATH_LINK_TARGET
    | _R.PATH_RENAME_SOURCE | _R.PATH_RENAME_TARGET | _R.PATH_FILESTAT_SET_SIZE
    | _R.PATH_FILESTAT_SET_TIMES | _R.FD_FILESTAT_SET_TIMES | _R.PATH_SYMLINK
    | _R.PATH_REMOVE_DIRECTORY | _R.PATH_UNLINK_FILE
)  # fmt: skip
# A read-only directory reports write rights as inheritable on purpose: wasi-libc masks what a program asks
# for with them, and only a request that still says "write" can be refused at open() instead of at write().
INHERITABLE_RIGHTS: Final = READ_RIGHTS | WRITE_RIGHTS | FILE_RIGHTS | LOOKUP_RIGHTS


class FdFlags:
    """Descriptor flags."""

    APPEND: Final = 1
    DSYNC: Final = 2
    NONBLOCK: Final = 4
    RSYNC: Final = 8
    SYNC: Final = 16


class OFlags:
    """`path_open` flags."""

    CREAT: Final = 1
    DIRECTORY: Final = 2
    EXCL: Final = 4
    TRUNC: Final = 8


class FstFlags:
    """Which times to set, and to what."""

    ATIM: Final = 1
    ATIM_NOW: Final = 2
    MTIM: Final = 4
    MTIM_NOW: Final = 8


LOOKUP_SYMLINK_FOLLOW: Final = 1
WHENCE_LAST: Final = 2
ADVICE_LAST: Final = 5

CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
CLOCK_LAST: Final = 3
SUBSCRIPTION_ABSTIME: Final = 1
EVENT_CLOCK: Final = 0
EVENT_FD_READ: Final = 1
EVENT_FD_WRITE: Final = 2
EVENT_HANGUP: Final = 1

U16: Final = struct.Struct("<H")
U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")
IOVEC: Final = struct.Struct("<II")
FDSTAT: Final = struct.Struct("<BxH4xQQ")  # file type, flags, rights, inheritable rights
FILESTAT: Final = struct.Struct("<QQB7xQQQQQ")  # dev, ino, type, nlink, size, atime, mtime, ctime (ns)
PRESTAT: Final = struct.Struct("<B3xI")  # tag 0 = directory, length of its name
DIRENT: Final = struct.Struct("<QQIB3x")  # next cookie, inode, length of the name, type
SUBSCRIPTION_HEAD: Final = struct.Struct("<QB7x")  # user data, event type
SUBSCRIPTION_CLOCK: Final = struct.Struct("<I4xQQH6x")  # clock, timeout ns, precision ns, flags
SUBSCRIPTION_BYTES: Final = 48
EVENT: Final = struct.Struct("<QHB5xQH6x")  # user data, errno, type, bytes ready, flags
