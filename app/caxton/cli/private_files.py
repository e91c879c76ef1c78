"""Files that hold what agents said: for their owner alone.

Owns their mode. Must never leave half of one in the place of a whole one, or follow a link.
"""

from __future__ import annotations

import os
from pathlib import Path

from caxton.protocol.errors import CaxtonError, Code


def write_private(path: Path, data: bytes) -> None:
    """`data` at `path`, 0600, whatever was there; `INVALID_REQUEST` when it cannot be written."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise CaxtonError(
            Code.INVALID_REQUEST, f"{path} cannot be written: {problem.strerror}", path=str(path)
        ) from None
