"""Files that a developer changes.

Owns the notice of a change. Must never read what is in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.1
Marks = tuple[tuple[int, int, int] | None, ...]


def marks(files: Iterable[Path]) -> Marks:
    """What changes when a file does, also when it is replaced by another; None for one that is not there."""
    return tuple(map(_mark, files))


async def changed(files: tuple[Path, ...], since: Marks | None) -> Marks:
    """Waits until the files are not as they were `since`, are all there, and stay so for two looks."""
    last = marks(files)
    while True:
        await asyncio.sleep(LOOK_SECONDS if since is not None else 0)
        now = marks(files)
        if now == last and now != since and None not in now:
            return now
        last = now


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
