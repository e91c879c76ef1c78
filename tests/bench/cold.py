"""From a message to the first reply of an agent that is deployed but has no instance."""

from __future__ import annotations

import os
import statistics
import time
from typing import Final

from bench.measure import Figure, Table, percentile
from caxton.protocol.execution import End, Gone
from support.wat import ECHO
from support.worker_harness import Harness

ROUNDS: Final = 5
PER_ROUND: Final = 200
FIRST_EVER: Final = 30


def run() -> list[Table]:
    """Cold starts in one worker over its socket."""
    with Harness() as harness:
        warm_up = [_cold(harness, harness.load(ECHO)) for _ in range(3)]
        handle = harness.load(ECHO)
        rounds = [[_cold(harness, handle) for _ in range(PER_ROUND)] for _ in range(ROUNDS)]
        fetched = [_first_ever(harness, index) for index in range(FIRST_EVER)]
    assert warm_up
    figures = [
        Figure("module known, no instance → reply, p50", _median(rounds, 0.5), "ms"),
        Figure("module known, no instance → reply, p99", _median(rounds, 0.99), "ms", "≤ 5"),
        Figure("artifact fetched first → reply, p50", percentile(fetched, 0.5) * 1e3, "ms"),
        Figure("artifact fetched first → reply, slowest", max(fetched) * 1e3, "ms"),
    ]
    notes = ["load of the machine: {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())]
    return [Table("Cold start in the executor", figures, notes)]


def _median(rounds: list[list[float]], share: float) -> float:
    return statistics.median(percentile(found, share) for found in rounds) * 1e3


def _cold(harness: Harness, handle: int) -> float:
    harness.send(End(handle, orderly=False))
    harness.wait_for(lambda frame: isinstance(frame, Gone) and frame.handle == handle)
    started = time.perf_counter()
    result = harness.run(handle, "hello")
    seconds = time.perf_counter() - started
    assert result.reply is not None
    return seconds


def _first_ever(harness: Harness, index: int) -> float:
    """A module that the worker has never seen; `fetch` over the control socket is part of it."""
    different = ECHO.replace("(i32.const 4096))", f"(i32.const {4104 + 8 * index}))", 1)
    handle = harness.load(different, fetch=False)
    started = time.perf_counter()
    exec_id = harness.execute(handle, "hello")
    harness.serve_fetch()
    result = harness.result(exec_id)
    seconds = time.perf_counter() - started
    assert result.reply is not None
    return seconds
