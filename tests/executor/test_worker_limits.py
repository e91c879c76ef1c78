"""Every limit of the ABI has its attack module here, and its own code."""

from __future__ import annotations

import json
import time

import pytest

from caxton.protocol.agents import Instance, Profile, Shape
from caxton.protocol.errors import Code
from caxton.protocol.execution import Start
from caxton.selftest import modules as attacks
from support.worker_harness import Harness
from support.worker_modules import ECHO, SPIN, reactor


@pytest.fixture(scope="module", params=[False, True], ids=["native", "pulley"])
def worker(request: pytest.FixtureRequest):
    with Harness(pulley=request.param) as harness:
        yield harness


@pytest.fixture(autouse=True)
def still_serving(worker: Harness):
    """Whatever a test's guest did, the worker goes on serving others."""
    yield
    assert worker.run(worker.load(ECHO), 1).status == "ok"


def failed(worker: Harness, wat: str, expected: Code, *, profile: Profile = Profile.STANDARD,
           shape: Shape = Shape.REACTOR, **limits: object) -> float:  # fmt: skip
    handle = worker.load(wat, limits=limits, profile=profile, shape=shape)
    began = time.monotonic()
    result = worker.run(handle)
    assert (result.status, result.code, result.resident) == ("error", expected, False)
    assert result.sent == []
    return time.monotonic() - began


def test_infinite_loop_ends_by_wall_clock(worker: Harness) -> None:
    assert failed(worker, SPIN, Code.EXECUTION_TIMEOUT, execution_timeout_seconds=0.1) < 1.0


def test_infinite_loop_ends_by_cpu_time(worker: Harness) -> None:
    assert failed(worker, SPIN, Code.CPU_LIMIT, cpu_time_seconds=0.05) < 1.0


def test_loop_in_a_start_function_ends_by_wall_clock(worker: Harness) -> None:
    wat = '(module (memory (export "memory") 1) (func $s (loop $l (br $l))) (start $s))'
    handle = worker.load(wat, fetch=False, startup_timeout_seconds=0.1)
    worker.send(Start(10_000, handle, 1))
    worker.serve_fetch()
    assert worker.result(10_000).code == Code.EXECUTION_TIMEOUT


def test_memory_grows_to_its_limit_and_then_answers_minus_one(worker: Harness) -> None:
    result = worker.run(worker.load(attacks.MEMORY_GROWS, limits={"memory_bytes": 1 << 20}))
    assert result.reply == b"16"
    assert result.usage.peak_memory_bytes == 1 << 20


def test_memory_bomb_that_aborts_is_reported_as_memory_limit(worker: Harness) -> None:
    failed(worker, attacks.MEMORY_BOMB, Code.MEMORY_LIMIT, shape=Shape.COMMAND, memory_bytes=4 << 20)


def test_initial_memory_over_the_limit_is_refused(worker: Harness) -> None:
    failed(worker, attacks.MEMORY_AT_START, Code.MEMORY_LIMIT, memory_bytes=1 << 20)


def test_table_grows_to_its_limit_and_then_answers_minus_one(worker: Harness) -> None:
    result = worker.run(worker.load(attacks.TABLE_GROWS, limits={"table_elements": 1000}))
    assert result.reply == b"910"


def test_recursion_is_a_stack_overflow(worker: Harness) -> None:
    failed(worker, attacks.RECURSION, Code.STACK_OVERFLOW)


def test_output_flood_is_stopped(worker: Harness) -> None:
    failed(worker, attacks.FLOOD % (1, "(br $l)"), Code.OUTPUT_LIMIT, shape=Shape.COMMAND, output_bytes=200_000)


def test_log_flood_is_cut_and_counted(worker: Harness) -> None:
    result = worker.run(worker.load(attacks.LOG_FLOOD, limits={"log_bytes": 5_000}))
    assert result.status == "ok"
    assert len(result.logs) == 5
    assert result.logs_dropped == 495


def test_stderr_flood_is_cut(worker: Harness) -> None:
    handle = worker.load(attacks.FLOOD % (2, ""), shape=Shape.COMMAND, limits={"log_bytes": 5_000})
    result = worker.run(handle)
    assert result.status == "ok"
    assert sum(len(line.text) for line in result.logs) <= 5_000 * 4  # a NUL is shown as four characters
    assert result.logs_dropped > 0


def test_message_flood_gets_limit(worker: Harness) -> None:
    result = worker.run(worker.load(attacks.MESSAGE_FLOOD, limits={"messages_per_execution": 10}))
    assert (result.status, result.exit_code) == ("failure", 10)


def test_timer_flood_gets_limit(worker: Harness) -> None:
    loop = """(loop $l (if (i32.ge_s (call $set_timer (i64.const 1000000)) (i32.const 0))
      (then (global.set $i (i32.add (global.get $i) (i32.const 1))) (br $l))))
     (call $answer (global.get $i))"""
    result = worker.run(worker.load(reactor(loop, extra=attacks.COUNT), limits={"messages_per_execution": 10}))
    assert (result.reply, len({t.timer_id for t in result.timers_set})) == (b"10", 10)


def test_host_call_flood_is_stopped(worker: Harness) -> None:
    failed(worker, attacks.HOST_CALL_FLOOD, Code.HOST_CALL_LIMIT, host_calls_per_execution=1000)


def test_key_flood_gets_limit(worker: Harness) -> None:
    result = worker.run(worker.load(attacks.KEY_FLOOD, limits={"state_bytes": 1_000}))
    assert (result.reply, len(result.writes)) == (b"11", 10)


@pytest.mark.parametrize(("limit", "key", "value"), [("key_bytes", 11, 1), ("value_bytes", 1, 11)])
def test_long_keys_and_values_get_limit(worker: Harness, limit: str, key: int, value: int) -> None:
    store = f"(call $answer (call $store (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const {value})))"
    assert worker.run(worker.load(reactor(store), limits={limit: 10})).reply == b"-3"


def test_sleep_beyond_the_timeout_ends_by_timer(worker: Harness) -> None:
    assert 0.1 <= failed(worker, attacks.SLEEP, Code.EXECUTION_TIMEOUT, execution_timeout_seconds=0.1) < 1.0


def test_fuel_runs_out_and_is_exactly_reproducible(worker: Harness) -> None:
    failed(worker, SPIN, Code.FUEL_EXHAUSTED, profile=Profile.DETERMINISTIC, fuel=10_000)
    handle = worker.load(ECHO, profile=Profile.DETERMINISTIC, module_sha256="echo-det", instance=Instance.PER_MESSAGE)
    used = {worker.run(handle, 1, message_id="0" * 36).usage.fuel for _ in range(5)}
    assert len(used) == 1
    assert (used.pop() or 0) > 0


def test_deterministic_clock_and_random_are_fixed_by_the_seed(worker: Harness) -> None:
    body = """(if (i64.ne (call $now) (call $now)) (then unreachable))
     (call $answer (i32.and (call $random) (i32.const 0x7fffffff)))"""
    handle = worker.load(reactor(body), profile=Profile.DETERMINISTIC)
    first, again, other = (worker.run(handle, seed=seed).reply for seed in (7, 7, 8))
    assert first == again != other
    free = worker.load(reactor(body.split("\n")[1]))
    assert worker.run(free, seed=7).reply != first


def test_poll_oneoff_sleep_is_stopped_by_the_timeout(worker: Harness) -> None:
    minute = attacks.POLL % 60_000_000_000
    failed(worker, minute, Code.EXECUTION_TIMEOUT, shape=Shape.COMMAND, execution_timeout_seconds=0.1)
    short = worker.run(worker.load(attacks.POLL % 20_000_000, shape=Shape.COMMAND))
    assert short.status == "ok"
    assert short.usage.duration_seconds >= 0.02


def test_message_bytes_are_limited(worker: Harness) -> None:
    handle = worker.load(
        reactor("(call $answer (call $reply (i32.const 0) (i32.const 5000)))"), max_message_bytes=4_999
    )
    assert json.loads(worker.run(handle).reply or b"") == -3
