"""The locks on a data directory: one router at a time, one `caxton serve`, or one restore instead of both.

Owns `lock`, `serve.lock` and the flag `maintenance`. Must never release one before the store is closed.
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
SERVE_LOCK_FILE: Final = "serve.lock"
"""What `caxton serve` holds for as long as it may start routers."""
MAINTENANCE_FILE: Final = "maintenance"
"""While it exists nothing starts: a restore is under way, or was interrupted. The units look at it too."""


@contextmanager
def hold(data: Path, name: str = LOCK_FILE) -> Iterator[None]:
    """Holds one lock of the directory; `CONFLICT` with the holder's pid when another process has it.

    The kernel releases it when the process ends, however it ends.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o750)
    descriptor = os.open(data / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        _acquire(descriptor, data)
        if os.geteuid() == 0:  # made by root's hand, it must still be the node's
            owner = data.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def require_no_maintenance(data: Path) -> None:
    """`NOT_READY` while a restore is under way in `data`, or was interrupted there."""
    flag = data / MAINTENANCE_FILE
    if flag.exists():
        raise CaxtonError(
            Code.NOT_READY,
            f"{flag} exists: a restore was interrupted. Run `caxton restore FILE` again, or remove the flag: "
            "what is there is the state before the restore or the one after it, whole",
            path=str(flag),
        )


def _acquire(descriptor: int, data: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise CaxtonError(
            Code.CONFLICT,
            f"{data} is in use by process {holder or 'unknown'}, a node or a restore; end it first",
            path=str(data),
            pid=holder,
        ) from error
