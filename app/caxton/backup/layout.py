"""The names in the backup directory, and what they say.

Owns `state_YYYYmmdd_HHMMSS.db.gz`, `config_….tar.gz`, `config_….tar.gz.age` and their manifests. Must never open one.
Times in names are UTC.
"""

from __future__ import annotations

import re
import time
from calendar import timegm
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE: Final = "state"
CONFIG: Final = "config"
ENCRYPTED: Final = ".age"
MANIFEST: Final = ".manifest.json"
_STAMP: Final = "%Y%m%d_%H%M%S"
_SUFFIX: Final = {STATE: (".db.gz",), CONFIG: (".tar.gz", ".tar.gz" + ENCRYPTED)}


@dataclass(frozen=True)
class Entry:
    """One backup. `taken_at` in seconds since the epoch, from the name."""

    path: Path
    kind: str
    taken_at: float

    @property
    def manifest(self) -> Path:
        """Where its manifest lies, if it has one."""
        return self.path.with_name(f"{stem(self.kind, self.taken_at)}{MANIFEST}")

    @property
    def encrypted(self) -> bool:
        """Whether only the owner of a private key can read it."""
        return self.path.name.endswith(ENCRYPTED)


def stem(kind: str, taken_at: float) -> str:
    """The name without its suffix."""
    return f"{kind}_{time.strftime(_STAMP, time.gmtime(taken_at))}"


def parse(path: Path) -> Entry | None:
    """The entry that a file's name makes it, or None."""
    for kind, suffixes in _SUFFIX.items():
        for suffix in suffixes:
            match = re.fullmatch(rf"{kind}_([0-9]{{8}}_[0-9]{{6}}){re.escape(suffix)}", path.name, re.ASCII)
            if match:
                try:
                    return Entry(path, kind, float(timegm(time.strptime(match[1], _STAMP))))
                except ValueError:
                    return None
    return None


def entries(directory: Path, kind: str | None = None) -> list[Entry]:
    """The backups in a directory, newest first; a directory that is missing has none."""
    if not directory.is_dir():
        return []
    found = [entry for path in directory.iterdir() if path.is_file() and (entry := parse(path)) is not None]
    return sorted(
        (entry for entry in found if kind in (None, entry.kind)),
        key=lambda entry: (entry.taken_at, entry.kind),
        reverse=True,
    )


def orphans(directory: Path) -> list[Path]:
    """Manifests whose backup is gone."""
    kept = {entry.manifest for entry in entries(directory)}
    return [
        path
        for path in directory.glob(f"*{MANIFEST}")
        if re.fullmatch(r"(state|config)_[0-9]{8}_[0-9]{6}", path.name.removesuffix(MANIFEST)) and path not in kept
    ]


def free_stamp(directory: Path, kind: str, now: float) -> float:
    """The first whole second from `now` on at which no backup of this kind was taken."""
    taken = {entry.taken_at for entry in entries(directory, kind)}
    stamp = float(int(now))
    while stamp in taken:
        stamp += 1.0
    return stamp
