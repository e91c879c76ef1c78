"""Listing, making and removing directories.

Owns `fd_readdir` with the kernel's own cookies, so nothing is remembered between two calls however large
a directory is. Must never list a whole directory at once.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import DIRENT, I64_MAX, U32, Errno, Filetype, Refused, Rights, filetype_of
from caxton.executor.wasi.descriptors import Directory
from caxton.executor.wasi.kernel import read_entries
from caxton.executor.wasi.paths import parent_of, read_path, status, status_or_none
from caxton.executor.wasi.state import WasiState

MAX_LISTING_BYTES: Final = 1 << 20
_KERNEL_BUFFER_BYTES: Final = 32 * 1024
_HOST_ENTRY: Final = struct.Struct("<QqHB")  # inode, cookie of the next entry, record length, type
_DIRECTORY_MODE: Final = 0o777


def fd_readdir(
    state: WasiState, memory: GuestMemory, fd: int, buffer: int, length: int, cookie: int, result: int
) -> None:
    """Fills the buffer with entries from `cookie` on; the last one may be cut. Less than full = the end."""
    directory = state.table.directory(fd, Rights.FD_READDIR)
    memory.check(buffer, length)
    memory.check(result, U32.size)
    if cookie > I64_MAX:
        raise Refused(Errno.EINVAL)
    limit = min(length, MAX_LISTING_BYTES)
    listing = bytearray()
    for entry in _entries(directory, cookie):
        listing += entry
        if len(listing) >= limit:
            break
    if limit <= len(listing) and limit < length:
        raise Refused(Errno.EOVERFLOW)  # a buffer that is not full would wrongly mean the end
    memory.write(buffer, bytes(listing[:limit]))
    memory.write(result, U32.pack(min(len(listing), limit)))


def _entries(directory: Directory, cookie: int) -> Iterator[bytes]:
    """WASI entries, `.` and `..` too, from the kernel's position `cookie` on (0 = the start)."""
    os.lseek(directory.host, cookie, os.SEEK_SET)
    own_inode = os.fstat(directory.host).st_ino
    while records := read_entries(directory.host, _KERNEL_BUFFER_BYTES):
        offset = 0
        while offset < len(records):
            inode, following, size, kind = _HOST_ENTRY.unpack_from(records, offset)
            name = records[offset + _HOST_ENTRY.size : offset + size].split(b"\0", 1)[0]
            offset += size
            if name == b"..":
                inode = own_inode  # what lies above a granted directory is none of the guest's business
            yield DIRENT.pack(following, inode, len(name), _type(directory, name, kind)) + name


def _type(directory: Directory, name: bytes, kind: int) -> Filetype:
    """From the kernel's DT_* number, which is the file type bits of a mode; some file systems do not tell."""
    if kind:
        return filetype_of(kind << 12)
    found = status_or_none(directory.host, name)
    return filetype_of(found.st_mode) if found else Filetype.UNKNOWN


def path_create_directory(state: WasiState, memory: GuestMemory, fd: int, pointer: int, length: int) -> None:
    """Makes a directory."""
    directory = state.table.directory(fd, Rights.PATH_CREATE_DIRECTORY)
    quota = directory.root.quota
    if quota is not None:
        quota.room_for_name()
    with parent_of(directory, read_path(memory, pointer, length)) as (parent, name, _):
        os.mkdir(name, _DIRECTORY_MODE, dir_fd=parent)
    if quota is not None:
        quota.names += 1


def path_remove_directory(state: WasiState, memory: GuestMemory, fd: int, pointer: int, length: int) -> None:
    """Removes an empty directory."""
    directory = state.table.directory(fd, Rights.PATH_REMOVE_DIRECTORY)
    with parent_of(directory, read_path(memory, pointer, length)) as (parent, name, _):
        found = status(parent, name)
        os.rmdir(name, dir_fd=parent)
    if directory.root.quota is not None:
        directory.root.quota.unlinked(found)


def path_unlink_file(state: WasiState, memory: GuestMemory, fd: int, pointer: int, length: int) -> None:
    """Removes a name that is no directory."""
    directory = state.table.directory(fd, Rights.PATH_UNLINK_FILE)
    with parent_of(directory, read_path(memory, pointer, length)) as (parent, name, slash):
        found = status(parent, name)
        if slash and not stat.S_ISDIR(found.st_mode):
            raise Refused(Errno.ENOTDIR)
        os.unlink(name, dir_fd=parent)
    if directory.root.quota is not None:
        directory.root.quota.unlinked(found)
