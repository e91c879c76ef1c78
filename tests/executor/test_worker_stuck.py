"""What only a kill stops, and how the supervisor sees it."""

from __future__ import annotations

import os
import signal
import time

from caxton.protocol.agents import Profile
from support.worker_harness import Harness
from support.worker_modules import ECHO

WAIT = """(module (memory (export "memory") 1 1 shared)
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
 (func (export "handle_message") (param i32 i32) (result i32)
  (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"""


def test_atomic_wait_is_seen_on_the_pulse_page_and_ended_by_a_kill() -> None:
    with Harness(features=("threads",)) as worker:
        handle = worker.load(WAIT, profile=Profile.THREADS, limits={"execution_timeout_seconds": 0.1})
        exec_id = worker.execute(handle)
        deadline = time.monotonic() + 10
        while (beat := worker.pulse.read()).exec_id != exec_id or beat.leave_by > time.monotonic():
            assert time.monotonic() < deadline, "the pulse page never showed a stuck worker"
            time.sleep(0.01)
        assert worker.pulse.read() == beat
        assert beat.leave_by - beat.entered_at < 1.2
        assert not worker.frames
        os.kill(worker.process.pid, signal.SIGKILL)
        assert worker.process.wait(5) == -signal.SIGKILL


def test_an_idle_worker_shows_no_execution() -> None:
    with Harness() as worker:
        assert worker.run(worker.load(ECHO), 1).status == "ok"
        assert worker.pulse.read().exec_id == 0
