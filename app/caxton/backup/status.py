"""`status.json`: when what was backed up, verified, drilled.

Owns reading and changing the file. Must never make a backup fail: what cannot be read starts anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from caxton.backup import files, layout
from caxton.protocol.backup_status import STATUS_FILE, Check, Failure, Status
from caxton.protocol.errors import CaxtonError

_LOCK: Final = ".status.lock"


def read(directory: Path) -> Status:
    """What the file says; nothing when it is missing or unreadable."""
    try:
        return msgspec.json.decode((directory / STATUS_FILE).read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return Status()


def update(directory: Path, change: Callable[[Status], Status]) -> None:
    """Changes the file, all or nothing; checks of files that are gone are forgotten."""
    with files.only_one(directory, _LOCK, wait=True):
        changed = _tidy(directory, change(read(directory)))
        files.replace(directory / STATUS_FILE, msgspec.json.format(msgspec.json.encode(changed), indent=1) + b"\n")


def checked(directory: Path, name: str, fault: str | None) -> None:
    """Notes that a file was verified, and what was found."""
    check = Check(time.time(), fault)
    update(directory, lambda old: msgspec.structs.replace(old, checked={**old.checked, name: check}))


def failed(directory: Path, kind: str, error: CaxtonError) -> None:
    """Notes that a backup could not be made; where even that fails, the error itself is what counts."""
    failure = Failure(time.time(), kind, error.code.value, error.message)
    try:
        update(directory, lambda old: msgspec.structs.replace(old, failure=failure))
    except OSError:
        pass


def _tidy(directory: Path, status: Status) -> Status:
    present = {entry.path.name: entry for entry in layout.entries(directory)}
    checked = {name: check for name, check in status.checked.items() if name in present}
    good = [
        present[name].taken_at
        for name, check in checked.items()
        if check.fault is None and present[name].kind == layout.STATE
    ]
    return msgspec.structs.replace(status, checked=checked, verified_taken_at=max(good, default=None))
