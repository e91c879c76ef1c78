"""The check: whatever is done to the files is found, and where."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from caxton.audit import verify
from caxton.audit.log import Log
from caxton.audit.record import Draft
from caxton.protocol.audit import Head, Phase
from support.audit_files import SOMEBODY, files, make_audit, records, rewrite

DOCUMENT = Path(__file__).resolve().parents[2] / "app" / "docs" / "audit.md"
APP = Path(__file__).resolve().parents[2] / "app"
Lines = list[bytes]


def edited(lines: Lines) -> Lines:
    return [line.replace(b'"target":"team/agent-6"', b'"target":"team/agent-9"') for line in lines]


def edited_hash(lines: Lines) -> Lines:
    """Somebody who knows how a line is hashed changes one record and gives it a hash that fits."""
    body = edited(lines)[6][:-76] + b"}"
    digest = hashlib.sha256(body).hexdigest().encode()
    return [*lines[:6], body[:-1] + b',"hash":"' + digest + b'"}\n', *lines[7:]]


def inserted(lines: Lines) -> Lines:
    return [*lines[:6], lines[3], *lines[6:]]


@pytest.mark.parametrize(
    ("change", "kind", "line"),
    [
        (edited, "edited", 7),
        (edited_hash, "inserted", 8),
        (lambda lines: lines[:6] + lines[7:], "missing", 7),
        (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], "missing", 6),
        (inserted, "inserted", 7),
        (lambda lines: [*lines[:6], b"\n", *lines[6:]], "unreadable", 7),
        (lambda lines: [*lines[:6], b"\xff\xfe{[" * 20_000 + b"\n", *lines[6:]], "unreadable", 7),
        (lambda lines: [lines[0][:-1] + b" \n", *lines[1:]], "edited", 1),
        (lambda lines: lines[2:], "beginning", 1),
        (lambda lines: lines[:-1], "truncated", 0),
        (lambda _: [], "truncated", 0),
    ],
)
def test_what_was_done_is_found_and_where(
    tmp_path: Path, change: Callable[[Lines], Lines], kind: str, line: int
) -> None:
    make_audit(tmp_path, 10)
    assert not verify(tmp_path).faults
    rewrite(files(tmp_path)[0], change)
    first = verify(tmp_path).faults[0]
    assert (first.kind, first.line, first.file) == (kind, line, "000001.jsonl")


def test_every_bit_of_a_record_counts(tmp_path: Path) -> None:
    make_audit(tmp_path, 3)
    [file] = files(tmp_path)
    whole = file.read_bytes()
    start = whole.index(b"\n") + 1
    for position in range(start, whole.index(b"\n", start)):
        for bit in (0x01, 0x20):
            changed = bytearray(whole)
            changed[position] ^= bit
            file.write_bytes(changed)
            assert verify(tmp_path).faults, (position, bit)


@pytest.mark.parametrize("gone", [0, 2, -1])
def test_a_file_that_is_gone(tmp_path: Path, gone: int) -> None:
    make_audit(tmp_path, 40, file_bytes=3_000)
    files(tmp_path)[gone].unlink()
    kind = {0: "beginning", 2: "missing", -1: "truncated"}[gone]
    assert [fault.kind for fault in verify(tmp_path).faults] == [kind]


def test_files_that_changed_places(tmp_path: Path) -> None:
    make_audit(tmp_path, 40, file_bytes=3_000)
    one, two = files(tmp_path)[1:3]
    spare = tmp_path / "spare"
    one.rename(spare)
    two.rename(one)
    spare.rename(two)
    assert verify(tmp_path).faults


def test_a_chain_written_anew_is_whole_and_no_anchor_fits(tmp_path: Path) -> None:
    """What somebody with the node's rights can do: only what was kept elsewhere shows it."""
    made = make_audit(tmp_path / "true", 10)
    anchors = [Head(record.seq, record.hash) for record in made]
    other = make_audit(tmp_path / "false", 12)
    assert other[0].hash != made[0].hash  # the time is in it
    assert not verify(tmp_path / "false").faults
    assert [fault.kind for fault in verify(tmp_path / "false", [anchors[4]]).faults] == ["forked"]
    assert verify(tmp_path / "true", anchors).anchors == 10


def test_a_tail_cut_off_with_its_head_needs_an_anchor(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 10)
    rewrite(files(tmp_path)[0], lambda lines: lines[:6])
    (tmp_path / "head").write_text(f"6:{made[5].hash}\n")
    assert not verify(tmp_path).faults
    found = verify(tmp_path, [Head(6, made[5].hash), Head(9, made[8].hash)])
    assert (found.anchors, [(fault.kind, fault.seq) for fault in found.faults]) == (1, [("truncated", 9)])


def test_a_head_of_another_chain(tmp_path: Path) -> None:
    make_audit(tmp_path, 3)
    (tmp_path / "head").write_text(f"2:{'0' * 64}\n")
    assert [fault.kind for fault in verify(tmp_path).faults] == ["forked"]


def test_a_line_under_way_is_no_fault_at_the_end_only(tmp_path: Path) -> None:
    make_audit(tmp_path, 40, file_bytes=3_000)
    with files(tmp_path)[-1].open("ab") as file:
        file.write(b'{"seq":41,"ti')
    found = verify(tmp_path)
    assert not found.faults
    assert found.notes
    with files(tmp_path)[1].open("ab") as file:
        file.write(b'{"seq":41,"ti')
    assert verify(tmp_path).faults[0].kind == "unreadable"


def test_faults_are_bounded_and_the_first_is_the_first(tmp_path: Path) -> None:
    make_audit(tmp_path, 100)
    rewrite(files(tmp_path)[0], lambda lines: [line.replace(b"agent-", b"agent_") for line in lines])
    found = verify(tmp_path).faults
    assert len(found) == 10
    assert found[0].line == 1


def test_a_copy_elsewhere_is_checked_alike(tmp_path: Path) -> None:
    made = make_audit(tmp_path / "audit", 20, file_bytes=3_000)
    shutil.copytree(tmp_path / "audit", tmp_path / "copy")
    found = verify(tmp_path / "copy", [Head(made[-1].seq, made[-1].hash)])
    assert (found.records, found.anchors, found.faults) == (20, 1, [])


def test_the_check_in_the_document_finds_the_same(tmp_path: Path) -> None:
    """It is what an auditor without our software runs."""
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    make_audit(tmp_path, 40, file_bytes=3_000)

    def run() -> int:
        return subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True).returncode

    assert run() == 0
    for change in (edited, inserted):
        before = files(tmp_path)[0].read_bytes()
        rewrite(files(tmp_path)[0], change)
        assert run() == 1
        files(tmp_path)[0].write_bytes(before)


def test_memory_does_not_grow_with_the_audit(tmp_path: Path) -> None:
    """The check of tens of megabytes grows by less than a third of them."""
    make_audit(tmp_path, 60_000, at_once=5_000)
    size = sum(path.stat().st_size for path in files(tmp_path))
    assert size > 24_000_000
    program = (
        "import resource, sys, pathlib; from caxton.audit import verify;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "found = verify(pathlib.Path(sys.argv[1]));"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before;"
        "print(found.records, len(found.faults), grown)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=APP, capture_output=True, text=True)
    count, faults, grown_kib = map(int, done.stdout.split())
    assert (count, faults) == (60_000, 0)
    assert grown_kib < 8_000


def test_a_record_may_look_like_anything(tmp_path: Path) -> None:
    log = Log(tmp_path, "node")
    texts = ['","hash":"' + "0" * 64 + '"}', "\\", "\u2028", "{}"]
    log.append([Draft("agent.stop", Phase.EVENT, SOMEBODY, text, "ok", {text: text}) for text in texts])
    log.close()
    assert not verify(tmp_path).faults
    assert [record.target for record in records(tmp_path)] == texts
