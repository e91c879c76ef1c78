"""How old the last backup is, and the last proof that one restores.

Owns the ages at which that is worth a word. Must never read a backup.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from caxton.doctor.model import Check, Patient, Status

STATUS_FILE: Final = "status.json"
_HOUR: Final = 3_600.0
LATE_BACKUP_HOURS: Final = 26.0
"""Daily, with its random delay."""
LATE_DRILL_HOURS: Final = 8 * 24.0


class _Drill(msgspec.Struct):
    at: float


class _Times(msgspec.Struct):
    """What is of interest here in the file that the backup commands keep; seconds since the epoch."""

    verified_taken_at: float | None = None
    drill_succeeded: _Drill | None = None


def examine(patient: Patient) -> Iterator[Check]:
    """A node without backups works; it is the next disaster that it does not survive."""
    times = _read(Path(patient.config.backup.directory) / STATUS_FILE)
    too_old = patient.config.backup.state_retention_days * 24.0
    drilled = times.drill_succeeded.at if times.drill_succeeded else None
    yield _judge("backup", times.verified_taken_at, LATE_BACKUP_HOURS, too_old, "caxton backup state")
    yield _judge("restore drill", drilled, LATE_DRILL_HOURS, None, "caxton backup drill")


def _read(file: Path) -> _Times:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Times)
    except (OSError, msgspec.DecodeError):
        return _Times()


def _judge(name: str, at: float | None, late: float, too_late: float | None, command: str) -> Check:
    if at is None:
        return Check(name, Status.WARN, "none that is known of", command)
    hours = (time.time() - at) / _HOUR
    detail = f"the last good one is {hours:.1f} hours old"
    if too_late is not None and hours > too_late:
        return Check(name, Status.FAIL, f"{detail}: older than backups are kept", command)
    if hours > late:
        return Check(name, Status.WARN, detail, command)
    return Check(name, Status.OK, detail)
