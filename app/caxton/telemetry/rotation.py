"""A log file that several processes append to and that one of them renames when its period is over.

Owns the file, its old siblings and their age. Must never lose a line that another process writes meanwhile:
a line is one `write` to a file opened with O_APPEND.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_SUFFIX: Final = {"hourly": "%Y-%m-%dT%H", "daily": "%Y-%m-%d", "weekly": "%G-W%V"}
_DAY: Final = 86_400.0


class SharedFile(logging.Handler):
    """Appends to `path`; at the first line of a new period the old file becomes `path.<period>` (UTC).

    `rotation`: hourly, daily, weekly or never. Files older than `keep_days` are removed at that moment.
    """

    def __init__(self, path: Path, rotation: str, keep_days: int) -> None:
        super().__init__()
        self._path = path
        self._pattern = _SUFFIX.get(rotation)
        self._keep_seconds = keep_days * _DAY
        self._fd = -1
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line, into the file of the period that now is."""
        try:
            self._follow(time.time())
            os.write(self._fd, self.format(record).encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            self.handleError(record)

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
        if self._period_of(now) == self._period:
            return
        with self._locked():
            if self._is_current():
                self._rename()
        self._open()
        self._period = self._period_of(now)
        self._prune(now)

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

    def _rename(self) -> None:
        target = self._path.with_name(f"{self._path.name}.{self._period}")
        if not target.exists() and os.fstat(self._fd).st_size:
            self._path.rename(target)

    def _prune(self, now: float) -> None:
        for old in self._path.parent.glob(f"{self._path.name}.[0-9]*"):
            with suppress(OSError):
                if old.stat().st_mtime < now - self._keep_seconds:
                    old.unlink()


class _Lock:
    """An exclusive lock between processes for the length of a `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
