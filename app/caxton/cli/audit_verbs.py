"""`caxton audit list|verify|export`: who did what to the node on this host.

Owns the verbs. Must never need the node: they read its files, or a copy of them.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from caxton.cli.failures import EXIT_FAILED
from caxton.cli.local import configuration
from caxton.cli.render import emit_json, emit_line, emit_one, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.audit import AuditListing, Head, Record
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.requests import instant

LISTED: Final = {
    "SEQ": "seq", "TIME": "time", "ACTOR": "actor.subject", "ADDRESS": "actor.address", "ACTION": "action",
    "TARGET": "target", "OUTCOME": "outcome", "DETAILS": "details",
}  # fmt: skip
CHECKED: Final = {"audit": "directory", "files": "files", "records": "records", "first": "first", "head": "head"}
FAULTS: Final = {"FILE": "file", "LINE": "line", "RECORD": "seq", "FAULT": "kind", "WHAT": "message"}
UNFINISHED: Final = "unfinished"
"""Of what began, and has no record of its end."""
HEAD_MARK: Final = "audit head "
"""What stands before a head in the router's log."""

_directory = click.option(
    "--directory", type=click.Path(path_type=Path), help="An audit elsewhere, such as a copy; else this node's."
)


class _Moment(click.ParamType[float]):
    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """RFC 3339, or a date: its beginning in UTC."""
        if isinstance(value, float):
            return value
        try:
            if len(value) == len("2026-01-31"):
                return datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()
            return instant(value, "time")
        except (ValueError, CaxtonError):
            self.fail(f"{value!r} is no time, such as 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)


class _Anchor(click.ParamType[Head]):
    name = "SEQ:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        """A head that somebody has kept."""
        from caxton.audit.files import parse_heads

        found = [value] if isinstance(value, Head) else parse_heads(value)
        if len(found) != 1:
            self.fail(f"{value!r} is no SEQ:HASH: a number and 64 hexadecimal digits", param, ctx)
        return found[0]


@click.group()
def audit() -> None:
    """Who did what to this node, from where, with which outcome."""


@audit.command("list")
@click.option("--since", type=_Moment(), help="From this time on (RFC 3339, or a date).")
@click.option("--until", type=_Moment(), help="Before this time.")
@click.option("--actor", help="A glob, such as 'ci-*'.")
@click.option("--action", help="A glob, such as 'agent.*'.")
@click.option("--target", help="A glob, such as 'team/*'.")
@click.option("--outcome", help="`ok`, an error code, or `failed`: anything but ok.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), help="Only records below this number: the next page.")
@_directory
@output_options
@pass_state
def list_(state: State, directory: Path | None, before: int | None, limit: int, **filters: Any) -> None:
    """List records, newest first."""
    from caxton.audit.listing import find

    where, found = _where(state, directory), list[Record]()
    while len(found) < limit:
        page, before = find(where, AuditListing(limit=limit - len(found), **filters), before)
        found += page
        if before is None:
            break
    if state.as_json:
        emit_json(found)
        return
    emit_rows(state, [_shown(record) for record in found], LISTED)
    if before is not None:
        note(state, f"there may be earlier ones: --before {before}")


@audit.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--anchor", "anchors", multiple=True, type=_Anchor(), help="A record that must be there; repeatable.")
@click.option("--anchors", "witness", type=click.File(errors="replace"), help="A log of the router (- is stdin).")
@_directory
@output_options
@pass_state
def verify(state: State, file: Path | None, anchors: tuple[Head, ...], witness: Any, directory: Path | None) -> int:
    """Check every record and every link; exit 1 where the audit is not what was written.

    FILE: an exported range (jsonl) instead of the whole. The router's log holds heads to check against:
    journalctl -u caxton-router -o cat | caxton audit verify --anchors -
    """
    from caxton.audit import verify
    from caxton.audit.files import parse_heads

    given = list(anchors)
    for line in witness or ():
        _, mark, rest = line.partition(HEAD_MARK)
        given += parse_heads(rest)[:1] if mark else []
    report = verify(file or _where(state, directory), given)
    plain: dict[str, Any] = msgspec.to_builtins(report)
    if state.as_json:
        emit_json(plain)
        return EXIT_FAILED if report.faults else 0
    heads = {"first": report.first and str(report.first), "head": report.head and str(report.head)}
    emit_one(state, plain | heads, CHECKED)
    if report.faults:
        emit_rows(state, plain["faults"], FAULTS)
    for line in report.notes:
        note(state, line)
    note(state, f"BROKEN: {len(report.faults)} faults" if report.faults else f"whole; anchors: {report.anchors}")
    return EXIT_FAILED if report.faults else 0


@audit.command()
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--from", "first", type=click.IntRange(1), default=1, help="The first record.")
@click.option("--to", "last", type=click.IntRange(1), help="The last record.")
@click.option("--since", type=_Moment(), help="From this time on.")
@click.option("--until", type=_Moment(), help="Before this time.")
@click.option("--file", type=click.Path(path_type=Path), help="Write here, and the proof to FILE.proof.json.")
@_directory
@output_options
@pass_state
def export(
    state: State, kind: str, first: int, last: int | None, since: float | None, until: float | None,
    file: Path | None, directory: Path | None,
) -> None:  # fmt: skip
    """Write a range of records, whole, and the proof that it is a part of this audit's chain."""
    from caxton.audit.export import Range, export
    from caxton.telemetry import timestamp

    times = [None if one is None else timestamp(one) for one in (since, until)]
    wanted, where = Range(first, last, *times), _where(state, directory)
    if file is None:
        proof = export(where, wanted, kind, sys.stdout.buffer)
        sys.stdout.flush()
        note(state, f"proof: {msgspec.json.encode(proof).decode()}")
        return
    try:
        with file.open("xb") as target:
            proof = export(where, wanted, kind, target)
    except FileExistsError:
        raise CaxtonError(Code.CONFLICT, f"{file} is there already; name another", path=str(file)) from None
    beside = file.with_name(f"{file.name}.proof.json")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(proof)) + b"\n")
    if state.as_json:
        emit_line(proof)
    else:
        note(state, f"{proof.records} records in {file}, the proof in {beside}")


def _shown(record: Record) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain | {"outcome": record.outcome or UNFINISHED, "details": record.details or ""}


def _where(state: State, directory: Path | None) -> Path:
    found = directory or configuration(state).config.paths.audit
    try:
        there = found.is_dir()
    except PermissionError:
        there = False
    if not there:
        raise CaxtonError(
            Code.NOT_FOUND,
            f"there is no audit at {found}, or it is not for your eyes: be root, or the node's user",
            path=str(found),
        )
    return found
