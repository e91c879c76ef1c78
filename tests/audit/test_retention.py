"""Retention: old files go, and the chain says up to where."""

from __future__ import annotations

import time
from pathlib import Path

from caxton.audit import verify
from caxton.audit.log import Log
from caxton.audit.retention import PRUNED, prune
from caxton.protocol.audit import Head
from support.audit_files import draft, files, make_audit, records, rewrite

GIB = 1 << 30


def later(days: float) -> float:
    return time.time() + days * 86_400


def test_old_files_go_and_the_chain_holds(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 40, file_bytes=3_000)
    count = len(files(tmp_path))
    log = Log(tmp_path, "node")
    assert prune(log, 365, GIB) == 0
    assert prune(log, 365, GIB, lambda: later(366)) == count - 1  # the current one stays
    left = records(tmp_path)
    assert [record.action for record in left][-1] == PRUNED
    assert left[-1].details["last_seq"] == left[0].seq - 1
    assert left[-1].details["last_hash"] == left[0].previous == made[left[0].seq - 2].hash
    found = verify(tmp_path, [Head(1, made[0].hash)])
    assert not found.faults
    assert len(found.notes) == 2  # what was removed, and an anchor that lies before it
    log.close()


def test_too_much_goes_from_the_oldest_on(tmp_path: Path) -> None:
    make_audit(tmp_path, 60, file_bytes=3_000)
    before = files(tmp_path)
    log = Log(tmp_path, "node")
    gone = prune(log, 365, 9_000)
    log.close()
    assert files(tmp_path) == before[gone:]
    assert sum(path.stat().st_size for path in files(tmp_path)) < 11_000
    assert not verify(tmp_path).faults


def test_again_and_again(tmp_path: Path) -> None:
    """Records about removals are removed in their turn."""
    log = Log(tmp_path, "node", file_bytes=2_000)
    for number in range(200):
        log.append([draft(number)])
        if number % 10 == 0:
            prune(log, 365, 8_000)
    log.close()
    assert records(tmp_path)[0].seq > 100
    assert not verify(tmp_path).faults


def test_a_crash_between_the_record_and_the_removal(tmp_path: Path) -> None:
    """All files, or some of them, are still there: the chain is whole, and the next round takes them."""
    make_audit(tmp_path, 40, file_bytes=3_000)
    kept = {path: path.read_bytes() for path in files(tmp_path)}
    log = Log(tmp_path, "node", file_bytes=3_000)
    gone = prune(log, 365, 6_000)
    removed = list(kept)[:gone]
    for still_there in (removed, removed[-2:]):
        for path in removed:
            path.unlink(missing_ok=True)
        for path in still_there:
            path.write_bytes(kept[path])
        assert not verify(tmp_path).faults
    assert prune(log, 365, 6_000) > 0
    log.close()
    assert not verify(tmp_path).faults


def test_a_file_without_a_record_about_it_is_missed(tmp_path: Path) -> None:
    make_audit(tmp_path, 40, file_bytes=3_000)
    log = Log(tmp_path, "node", file_bytes=3_000)
    prune(log, 365, 12_000)
    log.close()
    assert not verify(tmp_path).faults
    files(tmp_path)[0].unlink()
    assert [fault.kind for fault in verify(tmp_path).faults] == ["beginning"]


def test_what_cannot_be_read_is_kept(tmp_path: Path) -> None:
    make_audit(tmp_path, 40, file_bytes=3_000)
    oldest = files(tmp_path)[0]
    rewrite(oldest, lambda lines: [*lines[:-1], b"nonsense\n"])
    log = Log(tmp_path, "node", file_bytes=3_000)
    assert prune(log, 365, 1_000) == 0
    log.close()
    assert oldest.exists()
