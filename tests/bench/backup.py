"""A backup beside a writer at full load: the longest gap between two commits, with and without it.

Owns a store in this process that commits without a pause, and `caxton backup state` as a process beside it. Rounds
alternate, so that a machine that others use hits both sides alike.
"""

from __future__ import annotations

import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Figure, Table, percentile
from bench.store_rate import accepted, settled
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.store import Changes, CommitResult, Store

APP = Path(__file__).resolve().parents[2] / "app"
ROWS = int(os.environ.get("BENCH_ROWS", "100000"))
BATCH = 50
KEYS = 20_000
IN_FLIGHT = 4
ROUNDS = 3


class Load:
    """Commits batches without a pause; `gaps` are the seconds between two commits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._going = False
        self._ended = threading.Semaphore(0)
        self._last = 0.0
        self.gaps: list[float] = []
        self.make = messages

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keeps a few submissions on their way."""
        self._going, self.gaps, self._last = True, [], time.perf_counter()
        for _ in range(IN_FLIGHT):
            self._submit()
        try:
            yield
        finally:
            self._going = False
            for _ in range(IN_FLIGHT):
                self._ended.acquire()

    def _submit(self) -> None:
        self._store.writer.submit(self.make(), self._done)

    def _done(self, result: CommitResult) -> None:
        assert result.error is None
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now
        if self._going:
            self._submit()
        else:
            self._ended.release()


def text() -> bytes:
    """512 bytes that do not compress to nothing."""
    return base64.b64encode(os.urandom(384))


def messages() -> Changes:
    """New messages: the database grows."""
    ids = [new_id() for _ in range(BATCH)]
    batch = [Message(one, "request", "client:bench", "sink", text(), one) for one in ids]
    return Changes(accept=[accepted(one) for one in batch], settle=[settled(one) for one in batch])


def keys() -> Changes:
    """Keys that are there already: the log is written and the database stays as it is."""
    start = random.randrange(KEYS - BATCH)
    return Changes(keys=[("sink", f"key-{start + index}", text()) for index in range(BATCH)])


def back_up(database: Path, directory: Path) -> dict[str, Any]:
    """One backup by the command line."""
    environ = os.environ | {
        "PYTHONPATH": str(APP),
        "CAXTON_COORDINATION__LOCAL_STATE_PATH": str(database),
        "CAXTON_BACKUP__DIRECTORY": str(directory),
        "CAXTON_MESSAGING__LOW_DISK_BYTES": "1MB",
    }
    command = [sys.executable, "-m", "caxton", "backup", "state", "--output", "json"]
    done = subprocess.run(command, env=environ, capture_output=True, check=True, cwd=directory.parent)
    made: dict[str, Any] = json.loads(done.stdout)
    Path(made["file"]).unlink()
    return made


def fill(load: Load) -> None:
    """Grows the database to `ROWS` messages; from then on the load overwrites keys."""
    with load.running():
        while len(load.gaps) * BATCH < ROWS:
            time.sleep(0.05)
    load.make = keys


def run() -> list[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as folder:
        database, directory = Path(folder) / "data" / "local.db", Path(folder) / "backups"
        store = Store.open(database)
        load = Load(store)
        fill(load)
        alone: list[list[float]] = []
        beside: list[list[float]] = []
        made: list[dict[str, Any]] = []
        for _ in range(ROUNDS):
            with load.running():
                made.append(back_up(database, directory))
            beside.append(load.gaps)
            with load.running():
                time.sleep(min(made[-1]["seconds"], 10.0))
            alone.append(load.gaps)
        size = database.stat().st_size
        store.close()
    return [_table(size, made, alone, beside)]


def _table(size: int, made: list[dict[str, Any]], alone: list[list[float]], beside: list[list[float]]) -> Table:
    def longest(rounds: list[list[float]]) -> float:
        return statistics.median(max(gaps) for gaps in rounds) * 1000

    def rate(rounds: list[list[float]]) -> float:
        return statistics.median(len(gaps) * BATCH / sum(gaps) for gaps in rounds)

    def p99(rounds: list[list[float]]) -> float:
        return statistics.median(percentile(gaps, 0.999) for gaps in rounds) * 1000

    return Table(
        "A backup beside a writer at full load",
        [
            Figure("database", size / 1e6, "MB"),
            Figure("backup: copied, packed, verified", statistics.median(one["seconds"] for one in made), "s"),
            Figure("packed", statistics.median(one["size_bytes"] for one in made) / 1e6, "MB"),
            Figure("keys committed, alone", rate(alone), "1/s"),
            Figure("keys committed, beside the backup", rate(beside), "1/s"),
            Figure("longest gap between two commits, alone", longest(alone), "ms"),
            Figure("longest gap between two commits, beside the backup", longest(beside), "ms", "≤ 50"),
            Figure("the longest of all rounds, beside the backup", max(map(max, beside)) * 1000, "ms"),
            Figure("99.9 % of the gaps, alone", p99(alone), "ms"),
            Figure("99.9 % of the gaps, beside the backup", p99(beside), "ms"),
        ],
        [f"{ROUNDS} rounds; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"],
    )
