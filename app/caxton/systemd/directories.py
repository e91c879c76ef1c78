"""Drop-ins in a directory of units.

Owns the files called `50-settings.conf` below `caxton*.d`. Must never touch another file.
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


@dataclass(frozen=True)
class Written:
    """Which units got another drop-in, and which lost theirs."""

    changed: list[str]
    removed: list[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


def write(directory: Path, texts: Mapping[str, str]) -> Written:
    """Makes the directory hold exactly these drop-ins; each file is replaced whole, and only when it differs."""
    changed = [unit for unit, text in texts.items() if _replace(directory / f"{unit}.d" / DROP_IN, text)]
    stale = [path for path in sorted(directory.glob(_PATTERN)) if path.parent.name.removesuffix(".d") not in texts]
    for path in stale:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return Written(changed, [path.parent.name.removesuffix(".d") for path in stale])


def _replace(path: Path, text: str) -> bool:
    try:
        if path.read_text("utf-8") == text:
            return False
    except (OSError, ValueError):
        pass  # missing or not text: it is written now
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
    return True
