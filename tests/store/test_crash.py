"""What was acknowledged is there after kill -9, a power cut, a full disk; and nothing is half done."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store.world import accept, commit, message, settle

from caxton.store import Changes, Store, integrity_check

TESTS = Path(__file__).parent.parent
APP = TESTS.parent / "app"
FINAL = {"done", "dead", "expired", "cancelled"}


def start_child(database: Path, seed: int, file_limit: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "store.crash_child", str(database), str(seed), str(file_limit)]
    environment = os.environ | {"PYTHONPATH": f"{APP}{os.pathsep}{TESTS}"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=TESTS, env=environment)


def acknowledged(output: bytes) -> dict[str, set[str]]:
    """Message id → states that were acknowledged."""
    found: dict[str, set[str]] = {}
    for line in output.decode().splitlines():
        state, _, message_id = line.partition(" ")
        if state in FINAL or state == "pending":
            found.setdefault(message_id, set()).add(state)
    return found


def require_kept(database: Path, kept: dict[str, set[str]]) -> None:
    assert integrity_check(database) == []
    store = Store.open(database)
    try:
        assert store.reader.recount() == []
        assert [name for name, counts in store.reader.ledger().items() if counts.imbalance] == []
        for message_id, states in kept.items():
            row = store.reader.message(message_id)
            assert row is not None, message_id
            if states & FINAL:
                assert row.state in states
        assert commit(store, Changes(accept=[accept(message())])).error is None
    finally:
        store.close()


@pytest.mark.parametrize("round_number", range(6))
def test_kill_9_loses_nothing_that_was_acknowledged(database: Path, round_number: int) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    child = start_child(database, seed)
    assert child.stdout is not None
    first = child.stdout.readline()
    killer = chance.uniform(0.0, 1.5)
    deadline = time.monotonic() + killer
    output = [first]
    os.set_blocking(child.stdout.fileno(), False)
    while time.monotonic() < deadline:
        output.append(child.stdout.read(65536) or b"")
    child.send_signal(signal.SIGKILL)
    os.set_blocking(child.stdout.fileno(), True)
    output.append(child.stdout.read())
    child.wait()
    child.stdout.close()
    kept = acknowledged(b"".join(output))
    assert kept
    require_kept(database, kept)


def test_a_log_cut_anywhere_opens_at_a_commit(database: Path, tmp_path: Path) -> None:
    """A power cut with a disk that lied: the log ends in the middle. Whole commits remain, in order."""
    seed = random.SystemRandom().randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    store = Store.open(database)
    ids = []
    for _ in range(40):
        one, two = message(), message(receiver="other")
        commit(store, Changes(accept=[accept(one), accept(two)], settle=[settle(two)]))
        ids.append((one.message_id, two.message_id))
    files = {name: (tmp_path / f"local.db{name}").read_bytes() for name in ("", "-wal")}
    store.close()
    for cut in sorted(chance.randrange(len(files["-wal"])) for _ in range(10)):
        place = tmp_path / f"cut-{cut}"
        place.mkdir()
        (place / "local.db").write_bytes(files[""])
        (place / "local.db-wal").write_bytes(files["-wal"][:cut] + b"\xa5" * chance.randrange(5_000))
        require_kept(place / "local.db", {})
        again = Store.open(place / "local.db")
        there = [[again.reader.message(message_id) is not None for message_id in pair] for pair in ids]
        again.close()
        assert there == sorted(there, reverse=True)  # a prefix of the commits …
        assert all(one == two for one, two in there)  # … each of them whole
        shutil.rmtree(place)


def test_a_refused_write_is_an_error_and_nothing_is_half_done(database: Path) -> None:
    """The kernel refuses writes beyond a file size, as a full disk would."""
    child = start_child(database, 7, file_limit=3_000_000)
    output, _ = child.communicate(timeout=60)
    lines = output.decode().splitlines()
    assert child.returncode == 0
    assert lines[-1] == "closed"
    errors = [line for line in lines if line.startswith("error")]
    assert set(errors) == {"error STORAGE_FULL"}
    require_kept(database, acknowledged(output))
