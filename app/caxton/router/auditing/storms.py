"""Many alike become few: failed logins and denials, counted by who and from where.

Owns the windows in which they are counted. Must never make more than about thirty records of one kind in a window,
however many come from however many addresses; a storm that goes on has longer windows, up to eleven minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from caxton.audit.record import Draft
from caxton.protocol.audit import Actor, AuditNote, Phase

FIRST_SECONDS: Final = 10.0
LAST_SECONDS: Final = 640.0
MOST_KNOWN: Final = 16
MOST_ADDRESSES: Final = 10_000
OTHERS: Final = "others"
Key = tuple[str, str, str]


@dataclass(slots=True)
class _Window:
    """What came of one kind since the window began; its first ones were recorded at once."""

    seconds: float
    timer: asyncio.TimerHandle
    more: dict[Key, int] = field(default_factory=dict)
    last: dict[Key, AuditNote] = field(default_factory=dict)
    others: int = 0
    addresses: set[str] = field(default_factory=set)


class Storms:
    """`write` takes each record."""

    def __init__(self, write: Callable[[Draft], None]) -> None:
        self._write = write
        self._windows: dict[str, _Window] = {}

    def saw(self, note: AuditNote) -> None:
        """One note: recorded at once if it is the first of its kind, else counted."""
        window = self._windows.get(note.action)
        if window is None:
            window = self._windows[note.action] = self._open(note.action, FIRST_SECONDS)
        key = (note.address, note.subject, note.outcome)
        if key in window.more:
            window.more[key] += note.count
            window.last[key] = note
        elif len(window.more) < MOST_KNOWN:
            window.more[key] = 0
            self._write(_draft(note, note.count, window.seconds))
        else:
            window.others += note.count
            if len(window.addresses) < MOST_ADDRESSES:
                window.addresses.add(note.address)

    def close(self) -> None:
        """What was counted is recorded now."""
        for action, window in self._windows.items():
            window.timer.cancel()
            self._record(action, window)
        self._windows.clear()

    def _open(self, action: str, seconds: float) -> _Window:
        timer = asyncio.get_running_loop().call_later(seconds, self._over, action)
        return _Window(seconds, timer)

    def _over(self, action: str) -> None:
        window = self._windows.pop(action)
        self._record(action, window)
        if window.others or any(window.more.values()):
            self._windows[action] = self._open(action, min(2 * window.seconds, LAST_SECONDS))

    def _record(self, action: str, window: _Window) -> None:
        for key, note in window.last.items():
            self._write(_draft(note, window.more[key], window.seconds))
        if window.others:
            details = {"count": window.others, "addresses": len(window.addresses), "seconds": window.seconds}
            self._write(Draft(action, Phase.EVENT, Actor(OTHERS, "none"), outcome="many", details=details))


def _draft(note: AuditNote, count: int, seconds: float) -> Draft:
    actor = Actor(note.subject or "unknown", "none", None, note.credential, note.address)
    details = {"count": count, "seconds": seconds, **note.details}
    return Draft(note.action, Phase.EVENT, actor, note.target, note.outcome, details, note.request_id)
