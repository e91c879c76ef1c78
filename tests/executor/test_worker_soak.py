"""Everything that can happen to an execution, thousands of times in one worker: it neither grows nor stops."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from caxton.protocol.agents import Instance
from caxton.protocol.execution import Cancel
from support.worker_harness import Harness
from support.worker_modules import ECHO, SPIN, reactor

TRAP = reactor("(unreachable)")
OVERFLOW = reactor("(call $f)", extra="(func $f (result i32) (i32.add (call $f) (i32.const 1)))")
SLEEP = reactor("(drop (call $sleep (i64.const 500))) (call $reply (local.get $p) (local.get $n))")
SECONDS = 7.0
WARM_UP_BYTES = 3_000_000
"""A slow machine is still filling its pools and caches in the second half."""
ALLOWED_BYTES_PER_EXECUTION = 100


def test_memory_is_flat_under_everything() -> None:
    with Harness() as worker:
        echoes, sleepers = ([worker.load(wat) for _ in range(4)] for wat in (ECHO, SLEEP))
        fresh = worker.load(ECHO, instance=Instance.PER_MESSAGE)
        trap, overflow, spin = (worker.load(wat) for wat in (TRAP, OVERFLOW, SPIN))
        sizes: list[tuple[int, int]] = []
        executions, began = 0, time.monotonic()
        while time.monotonic() - began < SECONDS:
            expected = {worker.execute(handle): "ok" for handle in [*echoes * 4, *sleepers, *[fresh] * 8]}
            expected |= {worker.execute(handle): "error" for handle in (trap, trap, overflow)}
            cancelled = worker.execute(spin)
            worker.send(Cancel(cancelled))
            expected[cancelled] = "cancelled"
            found = {exec_id: worker.result(exec_id).status for exec_id in expected}
            assert found == expected
            worker.frames.clear()  # `Gone` of the instances that were given up
            executions += len(expected)
            sizes.append((executions, rss_bytes(worker.process.pid)))
    quarter = len(sizes) // 4
    third, fourth = sizes[-2 * quarter : -quarter], sizes[-quarter:]
    grown = statistics.median(size for _, size in fourth) - statistics.median(size for _, size in third)
    between = statistics.median(count for count, _ in fourth) - statistics.median(count for count, _ in third)
    assert between > 500
    assert grown < max(between * ALLOWED_BYTES_PER_EXECUTION, WARM_UP_BYTES)


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
