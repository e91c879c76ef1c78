"""One pull: what is asked of another copy, page by page, and what becomes of the answers.

Owns the three ways of asking: for what is lacking; after a long absence for everything, so that what the others
removed and forgot is not offered to them again; and for everything when equal vectors do not make equal copies, which
a copy that was put back from a backup can bring about. Must never send anything: `ask` says what to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from caxton.cluster.registry.copy import Registry
from caxton.cluster.registry.index import Key
from caxton.protocol.peers import Delta, Pull, Record

PAGE_RECORDS: Final = 1_000


class _Mode(Enum):
    LACKING = auto()
    COMPARE = auto()
    REPAIR = auto()


@dataclass(frozen=True, slots=True)
class Taken:
    """What one answer did. `changed`: records to be applied; `ahead`: those refused, of a clock that is far ahead."""

    changed: list[Record]
    ahead: list[Record]


class Exchange:
    """Of one pull from one peer: `while (pull := exchange.ask()) is not None: exchange.take(answer to it)`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._mode = _Mode.LACKING if len(registry) else _Mode.COMPARE
        self._vector = registry.vector() if len(registry) else {}
        self._cursor = ""
        self._there: set[Key] = set()
        """What the peer has, as far as it has told."""
        self._complete = True
        """Nothing of it was refused."""
        self._done = False

    def ask(self) -> Pull | None:
        """The next question; None: that was all."""
        if self._done:
            return None
        return Pull(self._vector, PAGE_RECORDS, self._cursor, self._registry.node_id)

    def take(self, delta: Delta) -> Taken:
        """Takes an answer over. One that never comes is no harm: the next pull begins anew."""
        if delta.missed and self._mode is not _Mode.COMPARE:
            self._begin(_Mode.COMPARE)
            return Taken([], [])
        ahead = [record for record in delta.records if self._registry.ahead(record)]
        self._complete = self._complete and not ahead
        changed = self._registry.merge(delta.records)
        self._there.update((record.kind, record.name) for record in delta.records)
        self._cursor = delta.cursor
        if not delta.more:
            changed += self._end(delta)
        return Taken(changed, ahead)

    def _end(self, delta: Delta) -> list[Record]:
        self._done = True
        self._registry.remember(delta.vector)
        if not self._complete:
            return []  # what was refused may have replaced something: the vector stays
        gone = self._gone(delta) if self._mode is _Mode.COMPARE else []
        is_still = self._mode is _Mode.LACKING and self._registry.vector() == self._vector
        self._registry.advance(delta.vector, delta.missed)
        if is_still and delta.covers and self._registry.digest() != delta.digest:
            self._begin(_Mode.REPAIR)  # equal vectors, and not the same
        return gone

    def _begin(self, mode: _Mode) -> None:
        self._mode, self._vector, self._cursor, self._done = mode, {}, "", False
        self._there.clear()

    def _gone(self, delta: Delta) -> list[Record]:
        """What the peer has known and has no more. What it never saw is news, and stays."""
        return [
            self._registry.discard((record.kind, record.name))
            for record in self._registry.records()
            if record.body is not None
            and record.hlc <= delta.vector.get(record.writer, 0)
            and (record.kind, record.name) not in self._there
        ]
