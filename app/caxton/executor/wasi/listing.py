"""Reading a directory from a position on.

Owns the translation between a guest's cookies, which are ordinals, and the kernel's, which are 63 bits
wide and so do not survive the 32-bit `telldir` of a wasm32 libc. Must never list a whole directory at
once: memory and time of one call are bounded however many entries there are.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from caxton.executor.wasi.abi import Errno, Refused
from caxton.executor.wasi.kernel import read_entries

_BUFFER_BYTES: Final = 32 * 1024
_HOST_ENTRY: Final = struct.Struct("<QqHB")  # inode, cookie of the next entry, record length, type
_MARK_EVERY: Final = 256
_MAX_MARKS: Final = 1024
_RECENT: Final = 16


class Entry(NamedTuple):
    """One directory entry. `following` is the cookie of the next; `kind` is the kernel's DT_* number."""

    following: int
    inode: int
    kind: int
    name: bytes


@dataclass(slots=True)
class Cookies:
    """Which kernel cookie an ordinal stands for: the last few, and every 256th of the first 262,144.

    The last few are exact even while entries come and go, as in a loop that deletes what it reads: libc
    goes on from the last whole entry of its buffer.
    """

    recent: dict[int, int] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=lambda: {0: 0})

    def start(self, ordinal: int) -> tuple[int, int]:
        """The nearest known (ordinal, kernel cookie) at or before `ordinal`; EINVAL for one never given out."""
        if ordinal in self.recent:
            return ordinal, self.recent[ordinal]
        known = ordinal - ordinal % _MARK_EVERY
        if known not in self.marks:
            raise Refused(Errno.EINVAL)
        return known, self.marks[known]

    def learn(self, ordinal: int, cookie: int) -> None:
        """`ordinal` has been given out."""
        self.recent.pop(ordinal, None)
        self.recent[ordinal] = cookie
        if len(self.recent) > _RECENT:
            del self.recent[next(iter(self.recent))]
        if ordinal % _MARK_EVERY == 0 and len(self.marks) < _MAX_MARKS:
            self.marks[ordinal] = cookie


def entries(host: int, cookies: Cookies, ordinal: int) -> Iterator[Entry]:
    """The entries from `ordinal` on, `.` and `..` too."""
    number, position = cookies.start(ordinal)
    os.lseek(host, position, os.SEEK_SET)
    for inode, following, kind, name in _host_entries(host):
        number += 1
        cookies.learn(number, following)
        if number > ordinal:
            yield Entry(number, inode, kind, name)


def _host_entries(host: int) -> Iterator[tuple[int, int, int, bytes]]:
    while records := read_entries(host, _BUFFER_BYTES):
        offset = 0
        while offset < len(records):
            inode, following, size, kind = _HOST_ENTRY.unpack_from(records, offset)
            yield inode, following, kind, records[offset + _HOST_ENTRY.size : offset + size].split(b"\0", 1)[0]
            offset += size
