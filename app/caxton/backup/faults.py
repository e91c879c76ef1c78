"""What can be wrong with a backup, and what the system's refusals mean.

Owns the words in the detail `fault`. Must never say anything of a file's content.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from caxton.protocol.errors import CaxtonError, Code

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Fault(StrEnum):
    """Why a file is no backup that holds."""

    MISSING = "missing"
    NAME = "name"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    CHECKSUM = "checksum"
    MANIFEST = "manifest"
    INTEGRITY = "integrity"
    ROWS = "rows"
    LEDGER = "ledger"
    MODULES = "modules"
    SCHEMA = "schema"


def invalid(path: Path, fault: Fault, what: str) -> CaxtonError:
    """`BACKUP_INVALID` with its fault."""
    return CaxtonError(Code.BACKUP_INVALID, f"{path}: {what}", path=str(path), fault=fault.value)


@contextmanager
def refusals(code: Code, doing: str) -> Iterator[None]:
    """What the system refuses becomes `STORAGE_FULL` or `code`; `doing` completes "cannot …"."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in _FULL:
            raise CaxtonError(Code.STORAGE_FULL, f"cannot {doing}: the disk is full{where}; free space") from error
        raise CaxtonError(code, f"cannot {doing}: {error.strerror or error}{where}") from error
