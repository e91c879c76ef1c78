"""A log file that several processes append to and that one of them renames when its period is over, or it is full.

Owns the file, its old siblings, their age and size. Must never lose a line that another process writes meanwhile:
a line is one `write` to a file opened with O_APPEND.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

_SUFFIX: Final = {"hourly": "%Y-%m-%dT%H", "daily": "%Y-%m-%d", "weekly": "%G-W%V"}
_DAY: Final = 86_400.0


class Bounds(NamedTuple):
    """What keeps a flood from filling a disk. A file may grow past `file_bytes` by what comes in `look_seconds`."""

    file_bytes: int = 100 * 1024 * 1024
    all_bytes: int = 5 * 1024 * 1024 * 1024
    """Of old files together."""
    look_seconds: float = 1.0


_BOUNDS: Final = Bounds()


class SharedFile(logging.Handler):
    """Appends to `path`; at the first line of a new period the old file becomes `path.<period>` (UTC).

    `rotation`: hourly, daily, weekly or never. A full file becomes that within its period, later ones `….1`, `….2`.
    Files older than `keep_days` are removed at that moment, and the oldest of too many bytes. A file that somebody
    else renamed or removed is made anew.
    """

    def __init__(self, path: Path, rotation: str, keep_days: int, bounds: Bounds = _BOUNDS) -> None:
        super().__init__()
        self._path = path
        self._pattern = _SUFFIX.get(rotation)
        self._keep_seconds = keep_days * _DAY
        self._bounds = bounds
        self._look_at = 0.0
        self._fd = -1
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line, into the file of the period that now is; to stderr while the file takes none."""
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self._follow(time.time())
            os.write(self._fd, line)
        except OSError:
            with suppress(OSError):
                os.write(sys.stderr.fileno(), line)

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()

    def _open(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._period = self._period_of(max(os.fstat(self._fd).st_mtime, 0.0))

    def _period_of(self, seconds: float) -> str:
        return time.strftime(self._pattern, time.gmtime(seconds)) if self._pattern else ""

    def _follow(self, now: float) -> None:
        if self._fd < 0:
            self._open()
        is_over = self._period_of(now) != self._period
        if not is_over and abs(now - self._look_at) < self._bounds.look_seconds:
            return
        self._look_at = now
        is_current = self._is_current()
        if is_current and not is_over and not self._is_full():
            return
        if is_current:
            with self._locked():
                if self._is_current():
                    self._rename()
                    self._prune(now)
        self._open()
        self._period = self._period_of(now)

    def _locked(self) -> _Lock:
        return _Lock(self._path.with_name(self._path.name + ".lock"))

    def _is_current(self) -> bool:
        """Whether nobody renamed the file since it was opened."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    def _is_full(self) -> bool:
        return self._pattern is not None and os.fstat(self._fd).st_size >= self._bounds.file_bytes

    def _rename(self) -> None:
        if not os.fstat(self._fd).st_size:
            return
        name = f"{self._path.name}.{self._period}"
        names = (name if number == 0 else f"{name}.{number}" for number in count())
        self._path.rename(next(target for one in names if not (target := self._path.with_name(one)).exists()))

    def _prune(self, now: float) -> None:
        old = []
        for path in self._path.parent.glob(f"{self._path.name}.[0-9]*"):
            with suppress(OSError):
                about = path.stat()
                old.append((about.st_mtime, about.st_size, path))
        room = self._bounds.all_bytes
        for modified, size, path in sorted(old, reverse=True):
            room -= size
            if modified < now - self._keep_seconds or room < 0:
                with suppress(OSError):
                    path.unlink()


class _Lock:
    """An exclusive lock between processes for the length of a `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
