"""The writer: what it appends is a chain, on disk, and it goes on after whatever a crash has left."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import stat
from pathlib import Path

import pytest

from caxton.audit import verify
from caxton.audit.log import DAMAGED, REPAIRED, TRUNCATED, Log
from caxton.audit.record import GENESIS, MAX_LINE_BYTES, Draft
from caxton.protocol.audit import Actor, Head, Phase
from support.audit_files import SOMEBODY, draft, files, make_audit, records, rewrite


def test_each_record_names_the_one_before(tmp_path: Path) -> None:
    made = make_audit(tmp_path / "audit", 5, at_once=2)
    assert [record.seq for record in made] == [1, 2, 3, 4, 5]
    assert [record.previous for record in made] == [GENESIS, *(record.hash for record in made[:-1])]
    assert (tmp_path / "audit" / "head").read_text() == f"{5:018d}:{made[-1].hash}\n"


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_audit(tmp_path / "audit", 1)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit").rglob("*")}
    assert modes == {"000001.jsonl": 0o600, "head": 0o600}
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700


def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = make_audit(tmp_path, 3)
    assert make_audit(tmp_path, 2)[:3] == first
    assert verify(tmp_path).records == 5


def test_a_large_file_is_followed_by_another(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 40, file_bytes=4_000)
    assert len(files(tmp_path)) == 5
    assert [record.seq for record in made] == list(range(1, 41))
    assert not verify(tmp_path).faults


@pytest.mark.parametrize("kept", [0, 1, 200, -1])
def test_a_torn_last_line_is_cut_off_and_recorded(tmp_path: Path, kept: int) -> None:
    """Of the record that the crash came into, `kept` bytes are there."""
    whole = make_audit(tmp_path, 2)
    [file] = files(tmp_path)
    before = file.read_bytes()
    make_audit(tmp_path, 1)
    torn = file.read_bytes()[len(before) :][:kept]
    file.write_bytes(before + torn)
    (tmp_path / "head").unlink()
    made = make_audit(tmp_path, 1)
    assert made[:2] == whole
    assert [record.action for record in made[2:]] == ([REPAIRED] if torn else []) + ["agent.deploy"]
    if torn:
        assert made[2].details["torn_sha256"] == hashlib.sha256(torn).hexdigest()
    assert not verify(tmp_path).faults


def test_a_lost_end_is_confessed(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 6)
    rewrite(files(tmp_path)[0], lambda lines: lines[:4])
    log = Log(tmp_path, "node")
    log.close()
    assert len(log.faults) == 1
    confessed = records(tmp_path)[-1]
    assert (confessed.seq, confessed.action, confessed.outcome) == (5, TRUNCATED, "failed")
    assert confessed.details["noted"] == f"6:{made[-1].hash}"


def test_a_last_line_that_is_none_is_never_passed_over(tmp_path: Path) -> None:
    make_audit(tmp_path, 3)
    rewrite(files(tmp_path)[0], lambda lines: [*lines[:-1], b'{"seq":3}\n'])
    made = Log(tmp_path, "node")
    made.append([draft(4)])
    made.close()
    assert made.faults
    assert [fault.kind for fault in verify(tmp_path).faults] == ["unreadable"]


def test_an_empty_file_of_a_crash_does_no_harm(tmp_path: Path) -> None:
    make_audit(tmp_path, 3)
    (tmp_path / "000002.jsonl").touch()
    make_audit(tmp_path, 3, file_bytes=1)
    assert not verify(tmp_path).faults
    assert len(records(tmp_path)) == 6


@pytest.mark.parametrize("strange", ["\x1b[31m", "\u202e", "é" * 9_000, "\ud800", "a\nb\x00c", '","phase":"ended"'])
def test_whatever_comes_from_outside_is_one_bounded_line(tmp_path: Path, strange: str) -> None:
    actor = Actor(strange, "admin", None, strange, strange)
    log = Log(tmp_path, "node")
    details = {
        "text": strange,
        "list": [strange] * 100,
        "deep": {"a": {"b": {"c": {"d": {"e": strange}}}}},
        "n": 1 << 70,
    }
    for target in (strange, "after"):
        log.append([Draft("agent.stop", Phase.EVENT, actor, target, "ok", details, strange)])
    log.close()
    lines = files(tmp_path)[0].read_bytes().splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) < MAX_LINE_BYTES
    assert not verify(tmp_path).faults


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The kernel takes a part of the batch and refuses the rest, as a full disk does."""
    make_audit(tmp_path, 1)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = Log(tmp_path, "node")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            log.append([draft(number) for number in range(10)])
        assert len(records(tmp_path)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [head.seq for head in log.append([draft(2), draft(3)])] == [2, 3]
    log.close()
    assert not verify(tmp_path).faults


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "000001.jsonl").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        Log(tmp_path / "audit", "node").append([draft(1)])
    assert victim.read_bytes() == b""


def test_the_place_of_a_record_is_its_anchor(tmp_path: Path) -> None:
    log = Log(tmp_path, "node")
    heads = log.append([Draft("node.pause", Phase.EVENT, SOMEBODY, outcome="ok") for _ in range(3)])
    log.close()
    assert heads == [Head(record.seq, record.hash) for record in records(tmp_path)]
    assert verify(tmp_path, heads).anchors == 3


def test_files_that_are_removed_under_it_are_missed(tmp_path: Path) -> None:
    """It goes on, recorded is what is left, and no check passes over the gap."""
    log = Log(tmp_path / "audit", "node")
    log.append([draft(1), draft(2)])
    shutil.rmtree(tmp_path / "audit")
    [head] = log.append([draft(3)])
    log.close()
    assert (head.seq, len(log.faults)) == (4, 1)
    assert [record.action for record in records(tmp_path / "audit")] == [DAMAGED, "agent.deploy"]
    assert [fault.kind for fault in verify(tmp_path / "audit").faults] == ["beginning"]
