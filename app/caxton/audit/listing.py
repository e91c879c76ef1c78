"""Looking records up: newest first, by filters, a bounded part of the audit for one page.

Owns what a filter means. Must never show a record twice: a `begun` whose `ended` is there is left out, since that
says all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path
from typing import Final

from caxton.audit import files
from caxton.audit.reading import BrokenLineError, lines
from caxton.audit.record import read_line
from caxton.protocol.audit import OK, AuditListing, Phase, Record
from caxton.telemetry.text import timestamp

FAILED: Final = "failed"
MOST_BYTES: Final = 32_000_000
"""Of records that one page looks at; their files are about a quarter of that each."""
_ENDED: Final = re.compile(rb'"phase":"ended","of":([0-9]+)')


class Filter:
    """What a listing asks for, made ready."""

    def __init__(self, asked: AuditListing) -> None:
        self._since = None if asked.since is None else timestamp(asked.since)
        self._until = None if asked.until is None else timestamp(asked.until)
        self._actor, self._action, self._target = map(_glob, (asked.actor, asked.action, asked.target))
        self._outcome = asked.outcome

    def takes(self, record: Record) -> bool:
        """Whether the record is one of those."""
        return (
            (self._since is None or record.time >= self._since)
            and (self._until is None or record.time < self._until)
            and (self._actor is None or bool(self._actor.match(record.actor.subject)))
            and (self._action is None or bool(self._action.match(record.action)))
            and (self._target is None or bool(self._target.match(record.target)))
            and self._takes_outcome(record.outcome)
        )

    def is_before(self, record: Record) -> bool:
        """Whether this record, and thus every earlier one, is too old."""
        return self._since is not None and record.time < self._since

    def _takes_outcome(self, outcome: str | None) -> bool:
        return self._outcome is None or outcome == self._outcome or (self._outcome == FAILED and outcome != OK)


def find(directory: Path, asked: AuditListing, before: int | None) -> tuple[list[Record], int | None]:
    """Up to `asked.limit` records below the number `before`, newest first, and where to go on (None: nowhere)."""
    wanted, found, looked_at = Filter(asked), list[Record](), 0
    ended: set[int] = set()
    last = before
    for path in reversed(files.listed(directory)):
        if before is not None and (_first_seq(path) or before) >= before:
            ended |= _ended_in(path, before)
            continue
        for record in _backwards(path):
            if before is not None and record.seq >= before:
                _remember(record, ended)
                continue
            if wanted.is_before(record):
                return found, None
            if _shown(record, ended) and wanted.takes(record):
                found.append(record)
                if len(found) == asked.limit:
                    return found, record.seq
            last = record.seq
        looked_at += path.stat().st_size
        if looked_at >= MOST_BYTES:
            return found, last
    return found, None


def _shown(record: Record, ended: set[int]) -> bool:
    _remember(record, ended)
    if record.phase is Phase.BEGUN and record.seq in ended:
        ended.discard(record.seq)
        return False
    return True


def _remember(record: Record, ended: set[int]) -> None:
    if record.of is not None:
        ended.add(record.of)


def _ended_in(path: Path, before: int) -> set[int]:
    """The `begun` below `before` whose end this later file holds; a string in a record cannot look like that."""
    return {seq for match in _ENDED.finditer(path.read_bytes()) if (seq := int(match[1])) < before}


def _first_seq(path: Path) -> int | None:
    for record in forwards(path):
        return record.seq
    return None


def forwards(path: Path) -> Iterator[Record]:
    """The records of a file; what is none is left to `verify`."""
    for line in lines(path):
        try:
            yield read_line(line)
        except BrokenLineError:
            continue


def _backwards(path: Path) -> Iterator[Record]:
    for line in reversed(path.read_bytes().splitlines()):
        try:
            yield read_line(line)
        except BrokenLineError:
            continue


def _glob(pattern: str | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(translate(pattern))
