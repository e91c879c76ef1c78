"""What the backup commands leave behind for the metrics and for people: `status.json` of the backup directory.

Owns the shape of that file. Must never read or write it. Times are seconds since the epoch, sizes bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

STATUS_FILE: Final = "status.json"


class Made(msgspec.Struct, frozen=True):
    """The last backup of a kind. `taken_at` = the moment of which it is the state."""

    file: str
    taken_at: float
    seconds: float
    size_bytes: int


class Check(msgspec.Struct, frozen=True):
    """The last verification of one file. `fault` = what was wrong, None when nothing was."""

    at: float
    fault: str | None = None


class Drill(msgspec.Struct, frozen=True):
    """A restore drill. `proof` = what the probe agent answered; `code` and `reason` when it failed."""

    at: float
    seconds: float
    file: str | None = None
    agents: int = 0
    proof: str | None = None
    code: str | None = None
    reason: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """The last backup that could not be made."""

    at: float
    kind: str
    code: str
    reason: str


class Status(msgspec.Struct, frozen=True):
    """The whole file. `verified_taken_at` = when the newest backup of the state that verified was taken."""

    state: Made | None = None
    config: Made | None = None
    failure: Failure | None = None
    checked: dict[str, Check] = {}
    verified_taken_at: float | None = None
    drill: Drill | None = None
    drill_succeeded: Drill | None = None
