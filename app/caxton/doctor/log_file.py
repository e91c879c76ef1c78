"""Whether the node may write the log that it was told to.

Owns one finding. Must never write to it: what is judged are modes and owners.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from caxton.doctor.model import Check, Patient, Status

NAME: Final = "log file"
_ROOT: Final = 0


def examine(patient: Patient) -> Iterator[Check]:
    """The node is whoever the data directory belongs to; a log that it cannot open goes to stderr instead."""
    given = patient.config.observability.log_file
    if given is None:
        yield Check(NAME, Status.OK, "the log goes to stderr: journalctl -u 'caxton*'")
        return
    file = Path(given)
    try:
        problem = _problem(file, patient.config.paths.data)
    except PermissionError:
        yield Check(NAME, Status.WARN, f"{file}: not ours to look at", "run it as root or as the node's user")
        return
    hint = f"install -d -o caxton -g caxton {file.parent}; systemctl restart caxton" if problem else ""
    yield Check(NAME, Status.FAIL if problem else Status.OK, problem or f"{file} can be written", hint)


def _problem(file: Path, data: Path) -> str | None:
    """Why the node cannot write it: rotation needs its directory too."""
    if not file.parent.is_dir():
        return f"{file.parent} is no directory that is there: the log goes to stderr"
    if os.statvfs(file.parent).f_flag & os.ST_RDONLY:
        return f"{file.parent} is on a file system that is read-only"
    owner = data.stat() if data.exists() else None
    for path in (file.parent, file):
        if owner is not None and path.exists() and not _may_write(path.stat(), owner.st_uid, owner.st_gid):
            return f"{path} is not for user {owner.st_uid} to write, who runs the node: the log goes to stderr"
    return None


def _may_write(found: os.stat_result, uid: int, gid: int) -> bool:
    if uid == _ROOT:
        return True
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IWUSR)
    return bool(found.st_mode & (stat.S_IWGRP if found.st_gid == gid else stat.S_IWOTH))
