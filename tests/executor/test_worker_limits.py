"""Every limit of the ABI has its attack module here, and its own code."""

from __future__ import annotations

import json
import time

import pytest

from caxton.protocol.agents import Instance, Profile, Shape
from caxton.protocol.errors import Code
from caxton.protocol.execution import Start
from support.worker_harness import Harness
from support.worker_modules import ECHO, SPIN, reactor

FLOOD = """(module
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 2)
 (func (export "_start") (i32.store (i32.const 4) (i32.const 65536))
  (loop $l (drop (call $write (i32.const %d) (i32.const 0) (i32.const 1) (i32.const 8))) %s)))"""


@pytest.fixture(scope="module")
def worker():
    with Harness() as harness:
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
    grow = """(loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
     (call $answer (memory.size))"""
    result = worker.run(worker.load(reactor(grow, memory="2 65536"), limits={"memory_bytes": 1 << 20}))
    assert result.reply == b"16"
    assert result.usage.peak_memory_bytes == 1 << 20


def test_memory_bomb_that_aborts_is_reported_as_memory_limit(worker: Harness) -> None:
    bomb = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br_if $l (i32.ge_s ' \
           "(memory.grow (i32.const 1)) (i32.const 0)))) unreachable))"  # fmt: skip
    failed(worker, bomb, Code.MEMORY_LIMIT, shape=Shape.COMMAND, memory_bytes=4 << 20)


def test_initial_memory_over_the_limit_is_refused(worker: Harness) -> None:
    failed(worker, reactor("(i32.const 0)", memory="1000"), Code.MEMORY_LIMIT, memory_bytes=1 << 20)


def test_table_grows_to_its_limit_and_then_answers_minus_one(worker: Harness) -> None:
    grow = """(loop $l (br_if $l (i32.ge_s (table.grow $t (ref.null func) (i32.const 100)) (i32.const 0))))
     (call $answer (table.size $t))"""
    result = worker.run(worker.load(reactor(grow, extra="(table $t 10 funcref)"), limits={"table_elements": 1000}))
    assert result.reply == b"910"


def test_recursion_is_a_stack_overflow(worker: Harness) -> None:
    deep = "(func $f (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))"
    failed(worker, reactor("(call $f (i32.const 1))", extra=deep), Code.STACK_OVERFLOW)


def test_output_flood_is_stopped(worker: Harness) -> None:
    failed(worker, FLOOD % (1, "(br $l)"), Code.OUTPUT_LIMIT, shape=Shape.COMMAND, output_bytes=200_000)


def test_log_flood_is_cut_and_counted(worker: Harness) -> None:
    body = """(loop $l (call $log (i32.const 0) (i32.const 1000))
      (global.set $i (i32.add (global.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (global.get $i) (i32.const 500)))) (i32.const 0)"""
    extra = "(global $i (mut i32) (i32.const 0))"
    result = worker.run(worker.load(reactor(body, extra=extra), limits={"log_bytes": 5_000}))
    assert result.status == "ok"
    assert len(result.logs) == 5
    assert result.logs_dropped == 495


def test_stderr_flood_is_cut(worker: Harness) -> None:
    handle = worker.load(FLOOD % (2, ""), shape=Shape.COMMAND, limits={"log_bytes": 5_000})
    result = worker.run(handle)
    assert result.status == "ok"
    assert sum(len(line.text) for line in result.logs) <= 5_000 * 4  # a NUL is shown as four characters
    assert result.logs_dropped > 0


@pytest.mark.parametrize(
    ("call", "setup"),
    [
        (
            "(call $send (i32.const 100) (i32.const 34))",
            '(data (i32.const 100) "{\\22performative\\22:\\22inform\\22,\\22receiver\\22:\\22b\\22}")',
        ),
        ("(i32.shr_s (call $set_timer (i64.const 1000000)) (i32.const 31))", ""),
    ],
)
def test_message_and_timer_floods_get_limit(worker: Harness, call: str, setup: str) -> None:
    loop = f"""(loop $l (if (i32.eqz (i32.and {call} (i32.const 0x80000000)))
      (then (global.set $i (i32.add (global.get $i) (i32.const 1))) (br $l))))
     (call $answer (global.get $i))"""
    extra = setup + "(global $i (mut i32) (i32.const 0))"
    handle = worker.load(reactor(loop.replace("34)", "38)"), extra=extra), limits={"messages_per_execution": 10})
    result = worker.run(handle)
    if "send" in call:  # the reply itself is the eleventh message and was refused
        assert (result.status, result.exit_code) == ("failure", -3)
    else:
        assert (result.reply, len({t.timer_id for t in result.timers_set})) == (b"10", 10)


def test_host_call_flood_is_stopped(worker: Harness) -> None:
    failed(worker, reactor("(loop $l (drop (call $random)) (br $l)) (i32.const 0)"), Code.HOST_CALL_LIMIT,
           host_calls_per_execution=1000)  # fmt: skip


def test_key_flood_gets_limit(worker: Harness) -> None:
    loop = """(loop $l (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (br_if $l (i32.eqz (call $store (i32.const 0) (i32.const 4) (i32.const 1000) (i32.const 96)))))
     (call $answer (i32.load (i32.const 0)))"""
    result = worker.run(worker.load(reactor(loop), limits={"state_bytes": 1_000}))
    assert (result.reply, len(result.writes)) == (b"11", 10)


@pytest.mark.parametrize(("limit", "key", "value"), [("key_bytes", 11, 1), ("value_bytes", 1, 11)])
def test_long_keys_and_values_get_limit(worker: Harness, limit: str, key: int, value: int) -> None:
    store = f"(call $answer (call $store (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const {value})))"
    assert worker.run(worker.load(reactor(store), limits={limit: 10})).reply == b"-3"


def test_sleep_beyond_the_timeout_ends_by_timer(worker: Harness) -> None:
    sleep = reactor("(call $sleep (i64.const 60000000))")
    assert 0.1 <= failed(worker, sleep, Code.EXECUTION_TIMEOUT, execution_timeout_seconds=0.1) < 1.0


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
    sleeper = """(module
     (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
     (memory (export "memory") 1)
     (func (export "_start") (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const %d))
      (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""
    failed(
        worker, sleeper % 60_000_000_000, Code.EXECUTION_TIMEOUT, shape=Shape.COMMAND, execution_timeout_seconds=0.1
    )
    short = worker.run(worker.load(sleeper % 20_000_000, shape=Shape.COMMAND))
    assert short.status == "ok"
    assert short.usage.duration_seconds >= 0.02


def test_message_bytes_are_limited(worker: Harness) -> None:
    handle = worker.load(
        reactor("(call $answer (call $reply (i32.const 0) (i32.const 5000)))"), max_message_bytes=4_999
    )
    assert json.loads(worker.run(handle).reply or b"") == -3
