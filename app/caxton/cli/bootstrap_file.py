"""The file with the first key of a node.

Owns its mode and its end. Must never follow a link, or be read by anybody but root.
"""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, key: str) -> None:
    """The key in a file that its owner alone reads, in the place of the one before."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def forget(path: Path) -> None:
    """Removes it, if it is there."""
    path.unlink(missing_ok=True)
