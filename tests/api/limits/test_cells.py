"""Buckets in a file that several processes share: exact, bounded, never held up by one that died or stands still."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from caxton.api.limits.cells import PAID, WAYS, Bucket, Cells, Rate, rate
from support.node import APP

SETS = 64
SLOW = rate(0.001, 500)
"""Gives nothing back while a test runs."""


def cells(path: Path, sets: int = SETS) -> Cells:
    return Cells(path / "cells", sets)


def spend(own: Cells, name: str, cost: int = 1, limit: Rate = SLOW) -> bool:
    """Whether the bucket of this name could pay."""
    return own.pay(cost, [own.bucket("test", name, limit)])[0] == PAID


@contextmanager
def program(path: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with the same table as `own`."""
    head = (
        "import sys, time\nfrom pathlib import Path\nfrom caxton.api.limits.cells import Cells, rate\n"
        f"own = Cells(Path({str(path / 'cells')!r}), {SETS})\nlimit = rate(0.001, 500)\n"
        "bucket = own.bucket('test', 'shared', limit)\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(APP)}
    started = subprocess.Popen(
        [sys.executable, "-c", head + text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


SPENDS = """
print("ready", flush=True)
sys.stdin.readline()
print(sum(own.pay(1, [bucket])[0] < 0 for _ in range(20_000)), flush=True)
"""
HOLDS = """
own._lock()
print("held", flush=True)
time.sleep(600)
"""


def test_four_processes_spend_what_one_bucket_has_and_no_more(tmp_path: Path) -> None:
    with program(tmp_path, SPENDS) as a, program(tmp_path, SPENDS) as b, program(tmp_path, SPENDS) as c:
        processes = [a, b, c]
        assert [said(one) for one in processes] == ["ready"] * 3
        for one in processes:
            assert one.stdin is not None
            one.stdin.write(b"go\n")
            one.stdin.flush()
        own = cells(tmp_path)
        mine = sum(spend(own, "shared") for _ in range(20_000))
        assert mine + sum(int(said(one)) for one in processes) == SLOW.burst


def test_a_process_that_dies_inside_leaves_the_lock(tmp_path: Path) -> None:
    own = cells(tmp_path)
    with program(tmp_path, HOLDS) as other:
        assert said(other) == "held"
        other.kill()
        other.wait()
        assert spend(own, "shared")
        assert own._lock()  # really taken, not given up waiting for


def test_a_process_that_stands_still_inside_holds_nobody_up(tmp_path: Path) -> None:
    own = cells(tmp_path)
    with program(tmp_path, HOLDS) as other:
        assert said(other) == "held"
        other.send_signal(signal.SIGSTOP)
        assert [spend(own, "shared") for _ in range(SLOW.burst + 1)] == [True] * SLOW.burst + [False]
        other.send_signal(signal.SIGCONT)


def test_all_buckets_pay_or_none(tmp_path: Path) -> None:
    own = cells(tmp_path)
    full, poor = [own.bucket("test", name, rate(0.001, 3)) for name in ("full", "poor")]
    assert own.pay(3, [poor])[0] == PAID
    assert own.pay(1, [full, poor])[0] == 1
    assert own.pay(3, [full])[0] == PAID  # it had lost nothing
    assert own.pay(1, [full])[0] == 0


def test_a_bucket_fills_at_its_rate(tmp_path: Path) -> None:
    own, limit = cells(tmp_path), rate(20, 2)
    assert [spend(own, "a", limit=limit) for _ in range(3)] == [True, True, False]
    began = time.monotonic()
    while not spend(own, "a", limit=limit):
        time.sleep(0.002)  # polls
    assert time.monotonic() - began > 0.02
    assert own.pay(0, [own.bucket("test", "a", limit)])[1] <= 2 * limit.interval


def test_what_was_paid_in_advance_goes_back(tmp_path: Path) -> None:
    own, limit = cells(tmp_path), rate(0.001, 1)
    assert spend(own, "a", limit=limit)
    assert not spend(own, "a", limit=limit)
    assert spend(own, "a", -1, limit)
    assert spend(own, "a", -1, limit)  # a bucket is never more than full
    assert spend(own, "a", limit=limit)
    assert not spend(own, "a", limit=limit)


def test_a_flood_of_addresses_takes_no_more_room_and_frees_nobody(tmp_path: Path) -> None:
    own = cells(tmp_path)
    size = os.path.getsize(tmp_path / "cells") if spend(own, "spender", SLOW.burst) else 0
    limit = rate(100, 200)
    for number in range(400 * SETS * WAYS):
        # what an address hashes to, without as many hashes
        first, tag = 8 + number % SETS * WAYS * 2, (number * 0x9E3779B97F4A7C15) % 2**64 or 1
        own.pay(1, [Bucket(first, tag, limit)])
    assert os.path.getsize(tmp_path / "cells") == size == 64 + SETS * WAYS * 16
    assert not spend(own, "spender")


def test_a_smaller_burst_holds_at_once(tmp_path: Path) -> None:
    own = cells(tmp_path)
    assert spend(own, "a", 100)
    assert not spend(own, "a", limit=rate(0.001, 50))
    assert spend(own, "a", limit=SLOW) is True  # and so does the larger one again


def test_a_clock_that_began_anew_locks_nobody_out(tmp_path: Path) -> None:
    own, limit = cells(tmp_path), rate(1_000, 10)
    bucket = own.bucket("test", "a", limit)
    assert own.pay(1, [bucket])[0] == PAID
    own._words[bucket.at + WAYS] = time.monotonic_ns() + 10**16  # of a host that had been up for months
    began = time.monotonic()
    while not spend(own, "a", limit=limit):
        assert time.monotonic() - began < 5
        time.sleep(0.001)  # polls


@pytest.mark.parametrize("what", ["directory", "link"])
def test_a_file_that_cannot_be_used_leaves_each_worker_its_own(tmp_path: Path, what: str) -> None:
    path = tmp_path / "cells"
    if what == "directory":
        path.mkdir()
    else:
        (tmp_path / "elsewhere").touch()
        path.symlink_to(tmp_path / "elsewhere")
    own = Cells(path, SETS)
    assert [spend(own, "a", limit=rate(0.001, 2)) for _ in range(3)] == [True, True, False]
    if what == "link":
        assert (tmp_path / "elsewhere").stat().st_size == 0


def test_nobody_else_may_read_it_and_the_hash_is_keyed(tmp_path: Path) -> None:
    one, other = Cells(tmp_path / "one", SETS), Cells(tmp_path / "other", SETS)
    again = Cells(tmp_path / "one", SETS)
    tags = [table.bucket("test", "alice", SLOW).tag for table in (one, again, other)]
    assert tags[0] == tags[1] != tags[2]
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600


def test_a_mark_ends(tmp_path: Path) -> None:
    own = cells(tmp_path)
    bucket = own.bucket("test", "a", SLOW)
    assert not own.marked(bucket, 60)
    own.mark(bucket, 60)
    assert own.marked(bucket, 60)
    assert not own.marked(bucket, 1)  # from the future
    own.mark(bucket, 0)
    assert not own.marked(bucket, 60)


def test_the_lock_is_free_between_two_payments(tmp_path: Path) -> None:
    own = cells(tmp_path)
    assert spend(own, "a")
    assert not spend(own, "a", SLOW.burst)
    with (tmp_path / "cells").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
