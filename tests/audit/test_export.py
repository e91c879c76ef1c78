"""An export: whole lines, and a proof that they are a part of the chain."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path

import pytest

from caxton.audit import verify
from caxton.audit.export import COLUMNS, Range, export
from caxton.audit.log import Log
from caxton.audit.record import Draft
from caxton.protocol.audit import Phase
from caxton.protocol.errors import CaxtonError, Code
from support.audit_files import SOMEBODY, files, make_audit, rewrite


def test_a_range_proves_itself_and_its_place(tmp_path: Path) -> None:
    made = make_audit(tmp_path / "audit", 30, file_bytes=3_000)
    written = io.BytesIO()
    proof = export(tmp_path / "audit", Range(first=8, last=21), "jsonl", written)
    assert (proof.records, proof.node) == (14, "node")
    assert proof.sha256 == hashlib.sha256(written.getvalue()).hexdigest()
    assert proof.after is not None
    assert proof.last is not None
    assert (proof.after.seq, proof.after.hash) == (7, made[6].hash)
    file = tmp_path / "range.jsonl"
    file.write_bytes(written.getvalue())
    assert not verify(file, [proof.last]).faults
    assert verify(tmp_path / "audit", [proof.last]).anchors == 1
    rewrite(file, lambda lines: lines[:4] + lines[5:])
    assert [fault.kind for fault in verify(file).faults] == ["missing"]
    file.write_bytes(written.getvalue()[:-10])
    assert verify(file).faults


def test_times_choose_a_range_without_holes(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 10)
    written = io.BytesIO()
    proof = export(tmp_path, Range(since=made[3].time, until=made[-1].time), "jsonl", written)
    assert proof.records == sum(made[3].time <= record.time < made[-1].time for record in made)
    assert export(tmp_path, Range(since="2999-01-01"), "jsonl", io.BytesIO()).last is None


def test_csv_is_harmless_in_a_spreadsheet(tmp_path: Path) -> None:
    log = Log(tmp_path, "node")
    for target in ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", 'a,b"c\nd'):
        log.append([Draft("agent.stop", Phase.EVENT, SOMEBODY, target, "ok")])
    log.close()
    written = io.BytesIO()
    export(tmp_path, Range(), "csv", written)
    heading, *rows = csv.reader(io.StringIO(written.getvalue().decode()))
    assert tuple(heading) == COLUMNS
    assert all(re.fullmatch(r"'[=+\-@].*", row[heading.index("target")]) for row in rows[:4])
    assert rows[4][heading.index("target")] == 'a,b"c\nd'
    assert [row[heading.index("subject")] for row in rows] == ["ci"] * 5


def test_a_broken_chain_is_not_exported(tmp_path: Path) -> None:
    make_audit(tmp_path, 10)
    rewrite(files(tmp_path)[0], lambda lines: lines[:4] + lines[5:])
    with pytest.raises(CaxtonError) as caught:
        export(tmp_path, Range(), "jsonl", io.BytesIO())
    assert caught.value.code is Code.CONFLICT
    assert export(tmp_path, Range(first=6), "jsonl", io.BytesIO()).records == 5
