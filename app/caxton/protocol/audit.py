"""The audit as it crosses borders: a record, a page of records, and what may be noted from outside the router.

Owns these shapes. Must never hash or write: `caxton.audit` does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

OK: Final = "ok"
"""The outcome of what went well; every other is an error code, or says what is not known."""


class Phase(StrEnum):
    """What a record says of its action."""

    BEGUN = "begun"
    """It is about to run. Without an `ended` that names it, nobody knows how it ended: a crash came between."""
    ENDED = "ended"
    """It ran, with this outcome."""
    EVENT = "event"
    """It happened; one record says all."""


class Actor(msgspec.Struct, frozen=True):
    """Who: as `caxton.protocol.access.Caller` names them. Never a secret."""

    subject: str
    role: str
    namespace: str | None = None
    credential: str = "none"
    address: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record; the order of the fields is that of its line. `time`: RFC 3339 in UTC, milliseconds.

    `of`: of an `ended`, the `seq` of its `begun`. `outcome`: `ok` or an error code, None of a `begun`. `previous`,
    `hash`: SHA-256, hexadecimal, of the line before and of this one.
    """

    seq: int
    time: str
    node: str
    action: str
    phase: Phase
    of: int | None
    actor: Actor
    target: str
    outcome: str | None
    details: dict[str, Any]
    request_id: str
    previous: str
    hash: str


class Head(msgspec.Struct, frozen=True):
    """The last record of a chain, or an earlier one that somebody remembers: an anchor."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class AuditListing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of records, newest first. `actor`, `action`, `target`: globs. `outcome`: itself, or `failed`: not `ok`.

    `since`, `until`: seconds since the epoch.
    """

    limit: int = 50
    cursor: str | None = None
    since: float | None = None
    until: float | None = None
    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """One page. It may hold fewer than were asked for and go on: a page looks at a bounded part of the audit."""

    items: list[Record]
    next_cursor: str | None = None


class AuditNote(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only another process of the node has seen. `count`: how many of the same in a short time.

    `subject`, `address`: of whoever it is about, where that is not the process itself.
    """

    action: str
    target: str = ""
    outcome: str = "ok"
    subject: str = ""
    credential: str = "none"
    address: str = ""
    count: int = 1
    details: dict[str, Any] = {}
    request_id: str = ""


class AuditNotes(msgspec.Struct, frozen=True):
    """Several notes in one call."""

    notes: list[AuditNote]
