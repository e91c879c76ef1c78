"""Drop-ins in a directory of units.

Owns the files called `50-settings.conf` below `caxton*.d`, and the mark that systemd has not read them yet. Must
never touch another file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from caxton.systemd.text import DROP_IN

_MODE: Final = 0o644
_PATTERN: Final = f"caxton*.d/{DROP_IN}"
UNREAD: Final = ".caxton-settings-unread"
"""Is there from before the first change until systemd has read them, whoever is killed meanwhile."""


@dataclass(frozen=True)
class Written:
    """Which units got another drop-in, which lost theirs, and whether systemd has to read them (again)."""

    changed: list[str]
    removed: list[str]
    unread: bool


def write(directory: Path, texts: Mapping[str, str]) -> Written:
    """Makes the directory hold exactly these drop-ins; each file is replaced whole, and only when it differs.

    They count as unread until `mark_read`.
    """
    paths = {unit: directory / f"{unit}.d" / DROP_IN for unit in texts}
    changed = [unit for unit, text in texts.items() if not _holds(paths[unit], text)]
    stale = [path for path in sorted(directory.glob(_PATTERN)) if path not in paths.values()]
    mark = directory / UNREAD
    if changed or stale:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        mark.touch()
    for unit in changed:
        _replace(paths[unit], texts[unit])
    for path in stale:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return Written(changed, [path.parent.name.removesuffix(".d") for path in stale], mark.exists())


def mark_read(directory: Path) -> None:
    """To be called when systemd has read what was written, or when nobody is there to read it."""
    (directory / UNREAD).unlink(missing_ok=True)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8") == text
    except (OSError, ValueError):
        return False  # missing or not text: it is written


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{DROP_IN}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
