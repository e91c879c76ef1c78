"""Which backups may go: those older than the configuration says, while enough good ones stay.

Owns that decision and the removal. Must never count a file as good without its checksum.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from caxton.backup import layout
from caxton.backup.layout import Entry
from caxton.backup.manifest import parse
from caxton.backup.packing import sums
from caxton.config import Backup
from caxton.protocol.errors import CaxtonError
from caxton.store import sync_directory

DAY_SECONDS: Final = 86_400.0


def apply(directory: Path, kind: str, policy: Backup) -> list[str]:
    """Removes what `policy` lets go, and manifests without their backup; the names of the backups that went."""
    days = policy.state_retention_days if kind == layout.STATE else policy.config_retention_days
    gone = expired(layout.entries(directory, kind), time.time(), days, policy.keep_at_least, holds)
    for entry in gone:
        entry.path.unlink(missing_ok=True)  # first the backup: a manifest alone is an orphan, and goes next time
    for manifest in layout.orphans(directory):
        manifest.unlink(missing_ok=True)
    sync_directory(directory)
    return [entry.path.name for entry in gone]


def expired(
    newest_first: Sequence[Entry], now: float, days: int, keep_at_least: int, good: Callable[[Entry], bool]
) -> list[Entry]:
    """Those older than `days`, if `keep_at_least` others are `good`; the newest good ones are the ones that stay."""
    old = [entry for entry in newest_first if entry.taken_at < now - days * DAY_SECONDS]
    if not old:
        return []
    kept: set[Path] = set()
    for entry in newest_first:
        if len(kept) == keep_at_least:
            break
        if good(entry):
            kept.add(entry.path)
    if len(kept) < keep_at_least:
        return []
    return [entry for entry in old if entry.path not in kept]


def holds(entry: Entry) -> bool:
    """Whether the file still is what its manifest says."""
    try:
        manifest = parse(entry.manifest.read_bytes(), entry.manifest)
        found = sums(entry.path)
    except (OSError, CaxtonError):
        return False
    return manifest.file is not None and manifest.file.sha256 == found.sha256
