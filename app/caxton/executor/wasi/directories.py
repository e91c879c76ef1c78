"""Listing, making and removing directories.

Owns the operations on directories as such. Must never touch what a name means other than a directory,
except to unlink it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import DIRENT, U32, Errno, Filetype, Refused, Rights, filetype_of
from caxton.executor.wasi.descriptors import Directory
from caxton.executor.wasi.listing import entries
from caxton.executor.wasi.paths import parent_of, read_path, status, status_or_none
from caxton.executor.wasi.state import WasiState

MAX_LISTING_BYTES: Final = 1 << 20
_DIRECTORY_MODE: Final = 0o777


def fd_readdir(
    state: WasiState, memory: GuestMemory, fd: int, buffer: int, length: int, cookie: int, result: int
) -> None:
    """Fills the buffer with entries from `cookie` on; the last one may be cut. Less than full = the end."""
    directory = state.table.directory(fd, Rights.FD_READDIR)
    memory.check(buffer, length)
    memory.check(result, U32.size)
    limit = min(length, MAX_LISTING_BYTES)
    listing = bytearray()
    for entry in _packed(directory, cookie):
        listing += entry
        if len(listing) >= limit:
            break
    if limit <= len(listing) and limit < length:
        raise Refused(Errno.EOVERFLOW)  # a buffer that is not full would wrongly mean the end
    memory.write(buffer, bytes(listing[:limit]))
    memory.write(result, U32.pack(min(len(listing), limit)))


def _packed(directory: Directory, cookie: int) -> Iterator[bytes]:
    """WASI entries from `cookie` on (0 = the start)."""
    own_inode = os.fstat(directory.host).st_ino
    for following, inode, kind, name in entries(directory.host, directory.cookies, cookie):
        # what lies above a granted directory is none of the guest's business
        shown = own_inode if name == b".." else inode
        yield DIRENT.pack(following, shown, len(name), _type(directory, name, kind)) + name


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
