"""The byte and name count of a scratch directory.

Owns what a scratch directory holds: bytes by file size (a hole counts as if it were written) and names,
so that neither space nor inodes run out. Sound because nobody but one guest writes there. Must never
touch a file itself.
"""

from __future__ import annotations

import stat
from collections import Counter
from dataclasses import dataclass, field
from os import stat_result
from typing import Final

from caxton.executor.wasi.abi import Errno, Refused

BYTES_PER_NAME: Final = 4096
MIN_NAMES: Final = 64
MAX_NAMES: Final = 10_000


@dataclass(slots=True)
class ScratchShare:
    """What all scratch directories of one process hold together: `used` bytes of `limit`."""

    limit: int
    used: int = 0


@dataclass(slots=True)
class Quota:
    """`used` bytes of `limit`, and names. A file that was unlinked while open counts until it is closed.

    What is counted here is counted in `shared` too, until `release`.
    """

    limit: int
    shared: ScratchShare
    used: int = 0
    names: int = 0
    opened: Counter[int] = field(default_factory=Counter)
    orphans: set[int] = field(default_factory=set)

    @property
    def name_limit(self) -> int:
        """How many names there may be: one for each block of the byte limit, within bounds."""
        return max(MIN_NAMES, min(MAX_NAMES, self.limit // BYTES_PER_NAME))

    def room_for(self, grown: int) -> None:
        """Refuses `grown` more bytes when they do not fit."""
        if grown <= 0:
            return
        if self.used + grown > self.limit or self.shared.used + grown > self.shared.limit:
            raise Refused(Errno.ENOSPC)

    def room_for_name(self) -> None:
        """Refuses one more name when there are too many."""
        if self.names >= self.name_limit:
            raise Refused(Errno.ENOSPC)

    def resized(self, before: int, after: int) -> None:
        """A file went from `before` to `after` bytes."""
        self._count(after - before)

    def unlinked(self, gone: stat_result) -> None:
        """A name is gone; `gone` is what it named, as it was before."""
        self.names -= 1
        if stat.S_ISDIR(gone.st_mode) or gone.st_nlink > 1:
            return
        if self.opened[gone.st_ino]:
            self.orphans.add(gone.st_ino)
        else:
            self._count(-gone.st_size)

    def closed(self, file: stat_result) -> None:
        """A descriptor of `file` is about to be closed."""
        self.opened[file.st_ino] -= 1
        if self.opened[file.st_ino] > 0:
            return
        del self.opened[file.st_ino]
        if file.st_ino in self.orphans:
            self.orphans.discard(file.st_ino)
            self._count(-file.st_size)

    def release(self) -> None:
        """The directory and all that was in it is gone."""
        self._count(-self.used)

    def _count(self, grown: int) -> None:
        self.used += grown
        self.shared.used += grown
