"""Instances that come and go in one worker process: known, started, used, forgotten, thousands of times.

Owns that worker. Must never judge.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from caxton.protocol.execution import End, Gone
from soak.judge import Reading
from soak.load import anonymous_bytes
from support.sight import require_sight
from support.worker_harness import Harness
from support.worker_modules import ECHO, reactor

AT_ONCE: Final = 50
OTHER: Final = reactor("(i32.const 0)")


def cycle(cycles: int, tell: Callable[[str], None]) -> list[Reading]:
    """So many times an agent is loaded, executed once and forgotten; a reading now and then."""
    every = max(cycles // 40 // AT_ONCE, 1) * AT_ONCE
    readings: list[Reading] = []
    with Harness() as worker:
        for wat in (ECHO, OTHER):
            worker.load(wat)  # it stays, and keeps the module
        for done in range(AT_ONCE, cycles + 1, AT_ONCE):
            _some(worker)
            if done % every == 0:
                readings.append(_look(worker, done))
                tell(f"{done} of {cycles} instances")
    return readings


def _some(worker: Harness) -> None:
    handles = [worker.load((ECHO, OTHER)[number % 2]) for number in range(AT_ONCE)]
    executions = [worker.execute(handle) for handle in handles]
    assert {worker.result(exec_id).status for exec_id in executions} == {"ok"}
    worker.send(*(End(handle, orderly=number % 2 == 0, forget=True) for number, handle in enumerate(handles)))
    for handle in handles:
        worker.wait_for(lambda frame, handle=handle: isinstance(frame, Gone) and frame.handle == handle)
    worker.stats.clear()


def _look(worker: Harness, done: int) -> Reading:
    pid = worker.process.pid
    require_sight(pid)
    return Reading(
        done, {"worker": pid}, {"worker": anonymous_bytes(pid)}, {"worker": len(os.listdir(f"/proc/{pid}/fd"))}
    )
