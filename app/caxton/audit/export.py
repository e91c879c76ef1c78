"""A range of the audit to take away, with the proof that it is a part of the chain.

Owns both formats. Must never leave a record of the range out: what is filtered can prove nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from caxton.audit import files
from caxton.audit.reading import BrokenLineError, lines
from caxton.audit.record import read_line
from caxton.protocol.audit import Head, Record
from caxton.protocol.errors import CaxtonError, Code

COLUMNS: Final = (
    "seq", "time", "node", "action", "phase", "of", "subject", "role", "namespace", "credential", "address", "target",
    "outcome", "details", "request_id", "previous", "hash",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Range(msgspec.Struct, frozen=True):
    """Which records: from the first to the last with both numbers and times in it. Times as records have them."""

    first: int = 1
    last: int | None = None
    since: str | None = None
    until: str | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What ties an export to the audit that it is from.

    `after`: the record before the first (its hash is what that one names). `last` is an anchor:
    `caxton audit verify --anchor` on the audit confirms it, and with it every record of the export. `sha256`: of the
    exported bytes.
    """

    format: str
    node: str | None
    records: int
    after: Head | None
    last: Head | None
    sha256: str


def export(directory: Path, wanted: Range, kind: str, target: IO[bytes]) -> Proof:
    """Writes the range as `jsonl` (the lines themselves) or `csv`; `CONFLICT` where the chain is broken in it."""
    digest, count, after, last, node = hashlib.sha256(), 0, None, None, None

    def put(data: bytes) -> None:
        digest.update(data)
        target.write(data)

    if kind == "csv":
        put(_row(COLUMNS))
    for line, record in _chosen(directory, wanted):
        if last is not None and (record.seq, record.previous) != (last.seq + 1, last.hash):
            raise _broken(f"record {record.seq} does not follow record {last.seq}")
        after = after or Head(record.seq - 1, record.previous)
        last, count, node = Head(record.seq, record.hash), count + 1, record.node
        put(line if kind == "jsonl" else _row(_cells(record)))
    return Proof(format=kind, node=node, records=count, after=after, last=last, sha256=digest.hexdigest())


def _chosen(directory: Path, wanted: Range) -> Iterator[tuple[bytes, Record]]:
    begun = False
    for path in files.listed(directory):
        for number, line in enumerate(lines(path), 1):
            if not line.endswith(b"\n"):
                return  # it is being written
            try:
                record = read_line(line)
            except BrokenLineError as error:
                raise _broken(f"{path.name}:{number}: {error}") from None
            begun = begun or (record.seq >= wanted.first and (wanted.since is None or record.time >= wanted.since))
            if wanted.last is not None and record.seq > wanted.last:
                return
            if begun and wanted.until is not None and record.time >= wanted.until:
                return
            if begun:
                yield line, record


def _cells(record: Record) -> tuple[Any, ...]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    plain |= plain["actor"] | {"details": msgspec.json.encode(record.details).decode()}
    return tuple(plain[name] for name in COLUMNS)


def _row(cells: tuple[Any, ...]) -> bytes:
    """One line of CSV; a spreadsheet takes no text from outside for a formula."""
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerow([_harmless(cell) for cell in cells])
    return made.getvalue().encode()


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _broken(message: str) -> CaxtonError:
    return CaxtonError(Code.CONFLICT, f"the chain is broken, see `caxton audit verify`: {message}")
