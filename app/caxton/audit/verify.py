"""Whether an audit is what was written: every record, every link, its beginning, its end.

Owns the kinds of faults. Must never change a file, and needs the memory of one line, however long the audit is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton.audit import files
from caxton.audit.reading import BrokenLineError, lines
from caxton.audit.record import GENESIS, MAX_LINE_BYTES, read_line
from caxton.audit.retention import PRUNED
from caxton.protocol.audit import Head, Record

MAX_FAULTS: Final = 10


class Fault(msgspec.Struct, frozen=True):
    """Where an audit breaks; `line` counts from 1.

    `kind`: `edited`, `unreadable`, `missing`, `inserted`, `beginning`, `truncated`, `forked`.
    """

    kind: str
    file: str
    line: int
    seq: int | None
    message: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `anchors`: how many of those given are in the chain; `notes`: what is no fault."""

    directory: str
    files: int
    records: int
    first: Head | None
    head: Head | None
    anchors: int
    faults: list[Fault]
    notes: list[str]


def verify(path: Path, anchors: Iterable[Head] = (), *, growing: bool = False) -> Report:
    """Checks the audit in the directory `path`, or one exported range if it is a file. `anchors`: of a witness.

    `growing`: the file is still written to, so its last line may be under way; a directory's last one always may.
    """
    return _Check(path, anchors, growing=growing).run()


class _Check:
    def __init__(self, path: Path, anchors: Iterable[Head], *, growing: bool) -> None:
        self._path = path
        self._whole = path.is_dir()
        self._growing = growing or self._whole
        self._files = files.listed(path) if self._whole else [path]
        self._anchors: dict[int, set[str]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, set()).add(anchor.hash)
        self._noted = files.read_head(path) if self._whole else None
        self._given = sum(map(len, self._anchors.values()))
        self._confirmed = self._records = 0
        self._first: Record | None = None
        self._before = Head(0, "")
        self._expected: Head | None = None
        self._unexplained = False
        self._faults: list[Fault] = []
        self._notes: list[str] = []

    def run(self) -> Report:
        for path in self._files:
            self._file(path)
            if len(self._faults) >= MAX_FAULTS:
                self._notes.append(f"{MAX_FAULTS} faults: looked no further")
                break
        else:
            self._end()
        return Report(
            directory=str(self._path),
            files=len(self._files),
            records=self._records,
            first=None if self._first is None else Head(self._first.seq, self._first.hash),
            head=self._expected,
            anchors=self._confirmed,
            faults=self._faults[:MAX_FAULTS],
            notes=self._notes,
        )

    def _file(self, path: Path) -> None:
        for number, line in enumerate(lines(path), 1):
            cut_off = not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES
            if cut_off and path == self._files[-1] and self._growing:
                self._notes.append(
                    f"{path.name}:{number}: the last line has no end: being written, or torn by a crash"
                )
                return
            try:
                record = read_line(line)
            except BrokenLineError as error:
                self._broken(path, number, error)
            else:
                self._link(path, number, record)
            if len(self._faults) >= MAX_FAULTS:
                return

    def _broken(self, path: Path, number: int, error: BrokenLineError) -> None:
        seq = None if self._expected is None else self._expected.seq + 1
        self._fault("edited" if error.edited else "unreadable", path, number, seq, str(error))
        self._expected = None  # what follows is taken at its word, so that later faults are found too

    def _link(self, path: Path, number: int, record: Record) -> None:
        expected = self._expected
        if self._first is None:
            self._begin(record)
        elif expected is not None and record.seq != expected.seq + 1:
            kind = "missing" if record.seq > expected.seq + 1 else "inserted"
            self._fault(kind, path, number, record.seq, f"record {record.seq} follows record {expected.seq}")
        elif expected is not None and record.previous != expected.hash:
            self._fault("inserted", path, number, record.seq, "it was not written behind the record before it")
        self._records += 1
        self._expected = Head(record.seq, record.hash)
        if record.action == PRUNED:
            self._explain(record)
        self._witness(path, number, record)

    def _begin(self, record: Record) -> None:
        self._first, self._before = record, Head(record.seq - 1, record.previous)
        self._unexplained = self._whole and self._before != Head(0, GENESIS)

    def _explain(self, record: Record) -> None:
        """A later record says that retention removed what was before the first one."""
        details: dict[str, Any] = record.details
        seq, digest = details.get("last_seq"), details.get("last_hash")
        if not self._unexplained or not isinstance(seq, int) or seq < self._before.seq:
            return
        if seq > self._before.seq or digest == self._before.hash:  # more: a crash came between two removals
            self._unexplained = False
            self._notes.append(f"records up to {self._before.seq} were removed by retention ({record.time})")

    def _witness(self, path: Path, number: int, record: Record) -> None:
        for digest in self._anchors.pop(record.seq, ()):
            if digest == record.hash:
                self._confirmed += 1
            else:
                self._fault("forked", path, number, record.seq, f"an anchor says {digest[:16]}… of this record")
        if self._noted is not None and self._noted.seq == record.seq:
            if self._noted.hash != record.hash:
                self._fault("forked", path, number, record.seq, "the file `head` says otherwise of this record")
            self._noted = None

    def _end(self) -> None:
        """What should have come."""
        last, path = self._expected or Head(0, GENESIS), self._files[-1] if self._files else self._path
        if self._unexplained and self._first is not None:
            message = f"the first record is {self._first.seq}, and none says that retention removed those before"
            self._fault("beginning", self._files[0], 1, self._first.seq, message)
        earliest = self._first.seq if self._first is not None else 0
        for seq in sorted(self._anchors):
            if seq < earliest:
                self._notes.append(f"the anchor {seq} lies before the first record and cannot be checked")
            elif seq > last.seq:
                self._fault("truncated", path, 0, seq, f"an anchor names record {seq}, the last one is {last.seq}")
            else:
                self._fault("missing", path, 0, seq, f"an anchor names record {seq}, which is not there")
        if self._noted is not None and self._noted.seq > last.seq:
            message = f"the file `head` names record {self._noted.seq}, the last one is {last.seq}"
            self._fault("truncated", path, 0, self._noted.seq, message)

    def _fault(self, kind: str, path: Path, line: int, seq: int | None, message: str) -> None:
        self._faults.append(Fault(kind, path.name, line, seq, message))
