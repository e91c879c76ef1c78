"""How much room is left for data and for backups.

Owns the marks at which that is too little. Must never write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from caxton.doctor.model import Check, Patient, Status
from caxton.store import disk_free

NAME = "disk"
_SCARCE = 2


def examine(patient: Patient) -> Iterator[Check]:
    """Below `low_disk_bytes` nothing new is accepted; twice that is close."""
    low, data = patient.config.messaging.low_disk_bytes, patient.config.paths.data
    free = disk_free(_existing(data))
    detail = f"{_gigabytes(free)} free below {data}, the mark is {_gigabytes(low)}"
    status = Status.FAIL if free < low else Status.WARN if free < _SCARCE * low else Status.OK
    hint = "" if status is Status.OK else f"df -h {data}; [messaging] retention and retention_bytes"
    yield Check(NAME, status, detail, hint)
    yield from _for_backups(patient)


def _for_backups(patient: Patient) -> Iterator[Check]:
    """The next backup needs about as much as the database has, at most."""
    directory, database = Path(patient.config.backup.directory), patient.config.paths.database
    if not directory.is_dir() or not database.exists():
        return
    free, needed = disk_free(directory), database.stat().st_size
    if free < needed:
        detail = f"{_gigabytes(free)} free in {directory}, the next backup may take {_gigabytes(needed)}"
        yield Check(NAME, Status.WARN, detail, f"df -h {directory}; [backup] state_retention_days")


def _existing(path: Path) -> Path:
    return next((one for one in (path, *path.parents) if one.exists()), Path("/"))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
