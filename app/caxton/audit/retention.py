"""What the audit may forget: whole files that are too old, or more than it may take of the disk.

Owns which those are, and the record that says so before they go. Must never take the current file, nor one whose last
record cannot be read: that is evidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from caxton.audit import files
from caxton.audit.log import NOBODY, Log
from caxton.audit.reading import BrokenLineError, last_record
from caxton.audit.record import Draft
from caxton.protocol.audit import OK, Phase, Record
from caxton.telemetry.text import timestamp

PRUNED: Final = "audit.pruned"
_DAY: Final = 86_400.0


def prune(log: Log, days: float, most_bytes: int, clock: Callable[[], float] = time.time) -> int:
    """Removes what is older than `days`, and the oldest while all take more than `most_bytes`; how many files.

    The record comes first: a crash between leaves files that a record has given up, never a hole without one.
    """
    going, last = _choose(log, timestamp(clock() - days * _DAY), most_bytes)
    if last is None:
        return 0
    details = {
        "files": len(going),
        "first_file": going[0].name,
        "last_file": going[-1].name,
        "last_seq": last.seq,
        "last_hash": last.hash,
        "last_time": last.time,
    }
    log.append([Draft(PRUNED, Phase.EVENT, NOBODY, outcome=OK, details=details)])
    for path in going:
        path.unlink(missing_ok=True)
    files.sync_directory(log.directory)
    return len(going)


def _choose(log: Log, before: str, most_bytes: int) -> tuple[list[Path], Record | None]:
    present = files.listed(log.directory)
    total = sum(path.stat().st_size for path in present)
    going, last = [], None
    for path in present:
        if path == log.current:
            break
        try:
            record = last_record(path)
        except BrokenLineError:
            break
        if record is not None and record.time >= before and total <= most_bytes:
            break
        total -= path.stat().st_size
        going.append(path)
        last = record or last
    return (going, last) if last is not None else ([], None)
