"""What recordings of executions take of the disk.

Owns one finding. Must never open a recording.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from caxton.doctor.model import Check, Patient, Status
from caxton.store import disk_free

NAME: Final = "recordings"
FOLDER: Final = "recordings"
_SCARCE: Final = 2


def examine(patient: Patient) -> Iterator[Check]:
    """They are bounded for each agent, but not for all together: a hundred recorded agents may fill a disk."""
    data = patient.config.paths.data
    folder = data / FOLDER
    count, size = _taken(folder)
    if not count:
        yield Check(NAME, Status.OK, "there are none")
        return
    free, low = disk_free(data), patient.config.messaging.low_disk_bytes
    detail = f"{count} take {size / 1e6:.1f} MB below {folder}, {free / 1e9:.1f} GB are free"
    if free < max(_SCARCE * low, size):
        yield Check(NAME, Status.WARN, detail, "caxton agent update NAME --no-record; files there may be deleted")
    else:
        yield Check(NAME, Status.OK, detail)


def _taken(folder: Path) -> tuple[int, int]:
    """Files and bytes; what is removed meanwhile does not count."""
    count = size = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(at, name)).st_size
            except FileNotFoundError:
                continue
            count += 1
    return count, size
