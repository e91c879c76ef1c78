"""The guest's descriptor table: what each of its descriptor numbers means.

Owns the kinds of descriptors and the table. Host descriptors live only in here; a guest never sees their
numbers. Must never resolve a path.

Rights: every directory has all that its root allows and every file all but reading and writing, which
`path_open` asks for one by one. Programs that pass too few rights (they are deprecated in WASI) work so,
and a read-only root stays read-only, because that is a property of the root and not of a descriptor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final, TypeVar

from caxton.executor.wasi.abi import (
    CHANGE_RIGHTS,
    FILE_RIGHTS,
    INHERITABLE_RIGHTS,
    LOOKUP_RIGHTS,
    READ_RIGHTS,
    STREAM_RIGHTS,
    WRITE_RIGHTS,
    Errno,
    Refused,
    Rights,
)
from caxton.executor.wasi.listing import Cookies
from caxton.executor.wasi.quota import Quota

MAX_DESCRIPTORS: Final = 1024


@dataclass(slots=True)
class Root:
    """A granted directory: everything opened below it shares what it allows."""

    writable: bool
    quota: Quota | None = None


@dataclass(slots=True)
class Input:
    """Standard input: bytes with an end."""

    data: bytes
    position: int = 0
    flags: int = 0
    rights: int = STREAM_RIGHTS | READ_RIGHTS


@dataclass(slots=True)
class Output:
    """Standard output, or the log when `is_log`."""

    is_log: bool
    flags: int = 0
    rights: int = STREAM_RIGHTS | Rights.FD_WRITE


@dataclass(slots=True)
class File:
    """A regular file of the host, open as `host`."""

    host: int
    root: Root
    rights: int
    flags: int = 0


@dataclass(slots=True)
class Directory:
    """A directory of the host, open as `host`; `name` is the guest's name for a granted one."""

    host: int
    root: Root
    rights: int
    name: bytes | None = None
    inheriting: int = INHERITABLE_RIGHTS
    cookies: Cookies = field(default_factory=Cookies)
    flags: int = 0


Descriptor = Input | Output | File | Directory
Kind = TypeVar("Kind", Input, Output, File, Directory)


def file_rights(read: bool, write: bool) -> int:
    """The rights of a file opened for reading, writing or both."""
    return FILE_RIGHTS | (READ_RIGHTS if read else 0) | (WRITE_RIGHTS if write else 0)


def directory_rights(root: Root) -> int:
    """The rights of every directory below `root`."""
    return LOOKUP_RIGHTS | CHANGE_RIGHTS if root.writable else LOOKUP_RIGHTS


def close_host(descriptor: Descriptor) -> None:
    """Gives back what the host holds for a descriptor."""
    if isinstance(descriptor, File) and descriptor.root.quota is not None:
        descriptor.root.quota.closed(os.fstat(descriptor.host))
    if isinstance(descriptor, File | Directory):
        os.close(descriptor.host)


@dataclass(slots=True)
class Table:
    """Descriptor numbers, the lowest free one first. Refuses with EBADF, EMFILE and ENOTCAPABLE."""

    entries: dict[int, Descriptor] = field(default_factory=dict)
    limit: int = MAX_DESCRIPTORS

    def room(self) -> None:
        """Refuses when not one more fits: to be asked before the host opens anything."""
        if len(self.entries) >= self.limit:
            raise Refused(Errno.EMFILE)

    def add(self, descriptor: Descriptor) -> int:
        """Puts a descriptor in and returns its number."""
        self.room()
        number = next(number for number in range(self.limit) if number not in self.entries)
        self.entries[number] = descriptor
        return number

    def get(self, number: int) -> Descriptor:
        """What `number` means."""
        try:
            return self.entries[number]
        except KeyError:
            raise Refused(Errno.EBADF) from None

    def file(self, number: int, right: int) -> File:
        """A regular file; without `right` it counts as not open for that."""
        descriptor = self.get(number)
        if not isinstance(descriptor, File):
            raise Refused(Errno.EISDIR if isinstance(descriptor, Directory) else Errno.ESPIPE)
        if not descriptor.rights & right:
            raise Refused(Errno.EBADF)
        return descriptor

    def directory(self, number: int, right: int) -> Directory:
        """A directory that allows `right`; what a read-only root forbids is EROFS."""
        descriptor = self.get(number)
        if not isinstance(descriptor, Directory):
            raise Refused(Errno.ENOTDIR)
        if descriptor.rights & right != right:
            read_only = right & CHANGE_RIGHTS and not descriptor.root.writable
            raise Refused(Errno.EROFS if read_only else Errno.ENOTCAPABLE)
        return descriptor

    def remove(self, number: int) -> Descriptor:
        """Takes a descriptor out; its number is free again."""
        descriptor = self.get(number)
        del self.entries[number]
        return descriptor

    def move(self, source: int, target: int) -> Descriptor | None:
        """`fd_renumber`: gives what `source` means to `target`; what that meant before is to be closed.

        A free `target` is fine: programs put their standard output aside and back like that.
        """
        if target >= self.limit:
            raise Refused(Errno.EBADF)
        moved = self.remove(source)
        replaced = self.entries.get(target)
        self.entries[target] = moved
        return replaced

    def close(self) -> None:
        """Closes everything; complaints of a file system at the last close end here."""
        entries, self.entries = self.entries, {}
        for descriptor in entries.values():
            try:
                close_host(descriptor)
            except OSError:
                pass
