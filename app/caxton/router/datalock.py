"""The lock on the data directory: one router, or one restore, at a time.

Owns `data/lock`. Must never be released before the store is closed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from caxton.protocol.errors import CaxtonError, Code

LOCK_FILE: Final = "lock"


@contextmanager
def hold(data: Path) -> Iterator[None]:
    """Holds the directory's lock; `CONFLICT` with the holder's pid when another process has it.

    The kernel releases it when the process ends, however it ends.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o750)
    descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        _acquire(descriptor, data)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, data: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise CaxtonError(
            Code.CONFLICT,
            f"{data} is in use by process {holder or 'unknown'}, another router or a restore; end it first",
            path=str(data),
            pid=holder,
        ) from error
