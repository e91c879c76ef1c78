from __future__ import annotations

import json
import os
import signal

import pytest

from caxton.protocol.agents import Instance, Shape
from caxton.protocol.errors import Code
from caxton.protocol.execution import Cancel, End, Gone
from support.worker_harness import Harness, message
from support.worker_modules import ECHO, IMPORTS, reactor

COUNT = (
    "(i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))"
    "(call $answer (i32.load (i32.const 16)))"
)
COUNTER = reactor(COUNT)
CAT = """(module
 (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (data (i32.const 64) "complaint\\n\\1b[31mred\\n")
 (func (export "_start")
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
  (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
  (i32.store (i32.const 4) (i32.load (i32.const 8)))
  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
  (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 19))
  (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 12)))
  (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 33)) (then (call $exit (i32.const 3))))))"""


@pytest.fixture(scope="module")
def worker():
    with Harness() as harness:
        yield harness


def test_reactor_gets_the_message_as_json_and_its_reply_is_addressed_to_the_sender(worker: Harness) -> None:
    handle = worker.load(ECHO)
    sent = message({"x": [1, "é"]}, reply_by=1_800_000_000.5, traceparent="00-aa-bb-01", reply_with="r1")
    result = worker.run(handle, message=sent)
    assert (result.status, result.resident) == ("ok", True)
    seen = json.loads(result.reply or b"")
    assert seen["content"] == {"x": [1, "é"]}
    assert seen["reply_by"] == "2027-01-15T08:00:00.500000Z"
    assert seen["trace_context"] == "00-aa-bb-01"
    assert "in_reply_to" not in seen
    (reply,) = result.sent
    assert reply.is_reply
    assert (reply.message.receiver, reply.message.performative) == ("client:test", "inform")
    assert (reply.message.in_reply_to, reply.message.conversation_id) == ("r1", "c1")


def test_same_message_gives_the_same_derived_ids(worker: Harness) -> None:
    handle, sent = worker.load(ECHO), message(1)
    first, second = (worker.run(handle, message=sent).sent[0].message.message_id for _ in range(2))
    other = worker.run(handle, 1).sent[0].message.message_id
    assert first == second != other


def test_persistent_instance_keeps_its_memory_and_per_message_does_not(worker: Harness) -> None:
    warm = worker.load(COUNTER)
    assert [worker.run(warm).reply for _ in range(3)] == [b"1", b"2", b"3"]
    cold = worker.load(COUNTER, instance=Instance.PER_MESSAGE)
    results = [worker.run(cold) for _ in range(3)]
    assert [r.reply for r in results] == [b"1"] * 3
    assert not any(r.resident for r in results)


def test_command_reads_content_and_answers_on_stdout(worker: Harness) -> None:
    handle = worker.load(CAT, shape=Shape.COMMAND)
    result = worker.run(handle, {"a": 1})
    assert (result.status, result.reply, result.exit_code) == ("ok", b'{"a":1}', 0)
    assert [(line.stream, line.text) for line in result.logs] == [
        ("stderr", "complaint"),
        ("stderr", "\\x1b[31mred"),
    ]


def test_command_gets_bytes_and_text_becomes_a_json_string(worker: Harness) -> None:
    handle = worker.load(CAT, shape=Shape.COMMAND)
    assert worker.run(handle, "aGVsbG8gd29ybGQ=", language="bytes").reply == b'"hello world"'


def test_command_that_exits_non_zero_answers_with_failure(worker: Harness) -> None:
    handle = worker.load(CAT, shape=Shape.COMMAND)
    result = worker.run(handle, "IQ==", language="bytes")
    assert (result.status, result.exit_code, result.reply) == ("failure", 3, None)
    assert "complaint" in (result.detail or "")


def test_a_handler_that_returns_non_zero_is_a_failure_without_effects(worker: Harness) -> None:
    handle = worker.load(reactor("(drop (call $reply (local.get $p) (local.get $n))) (i32.const 7)"))
    result = worker.run(handle)
    assert (result.status, result.exit_code, result.sent, result.resident) == ("failure", 7, [], True)


def test_agent_init_may_not_send_and_its_failure_fails_the_start(worker: Harness) -> None:
    denied = '(func (export "agent_init") (result i32) (call $send (i32.const 0) (i32.const 1)))'
    worker.load(reactor("(i32.const 0)", extra=denied))
    assert (worker.start_result.status, worker.start_result.exit_code) == ("failure", -1)
    assert worker.start_result.code == Code.AGENT_FAILED


def test_capabilities_are_reported_at_start(worker: Harness) -> None:
    describe = """(data (i32.const 100) "{\\22capabilities\\22:[\\22x\\22]}")
     (func (export "get_capabilities") (param $b i32) (param i32) (result i32)
      (memory.copy (local.get $b) (i32.const 100) (i32.const 22)) (i32.const 22))"""
    worker.load(reactor("(i32.const 0)", extra=describe))
    assert worker.start_result.capabilities == b'{"capabilities":["x"]}'


def test_timer_runs_handle_timer(worker: Harness) -> None:
    extra = '(func (export "handle_timer") (param i32) (result i32) (local.get 0))'
    handle = worker.load(reactor("(i32.const 0)", extra=extra))
    assert worker.run(handle, timer_id=42, sender="timer:42").exit_code == 42


def test_config_and_incarnation_can_be_read(worker: Harness) -> None:
    get = """(data (i32.const 200) "caxton.incarnation") (data (i32.const 230) "outer.inner")
     (func $get (param $k i32) (param $n i32) (result i32) (local $len i32)
      (local.set $len (call $config (local.get $k) (local.get $n) (i32.const 300) (i32.const 100)))
      (if (i32.lt_s (local.get $len) (i32.const 0)) (then (return (call $answer (local.get $len)))))
      (call $reply (i32.const 300) (local.get $len)))"""
    incarnation = reactor("(call $get (i32.const 200) (i32.const 18))", extra=get)
    assert worker.run(worker.load(incarnation), incarnation=1).reply == b"1"
    inner = reactor("(call $get (i32.const 230) (i32.const 11))", extra=get)
    assert worker.run(worker.load(inner, config={"outer": {"inner": [1, 2]}})).reply == b"[1,2]"
    assert worker.run(worker.load(inner)).reply == b"-4"


def test_unknown_handle_and_missing_artifact_are_answered(worker: Harness) -> None:
    assert worker.run(999).status == "unknown_handle"
    handle = worker.load(ECHO.replace("4096", "8192"), fetch=False)
    worker.modules.clear()
    exec_id = worker.execute(handle)
    worker.serve_fetch()
    assert worker.result(exec_id).status == "error"


def test_modules_are_fetched_once_and_shared(worker: Harness) -> None:
    before = worker.fetches
    wat = ECHO.replace("4096", "12288")
    handles = [worker.load(wat) for _ in range(3)]
    assert all(worker.run(h, 1).status == "ok" for h in handles)
    assert worker.fetches == before + 1


def test_trap_gives_a_backtrace_and_the_next_incarnation_starts_fresh(worker: Harness) -> None:
    trap = "(i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))" \
           "(if (i32.eq (i32.load (i32.const 16)) (i32.const 2)) (then unreachable))" \
           "(call $answer (i32.load (i32.const 16)))"  # fmt: skip
    handle = worker.load(reactor(trap))
    assert worker.run(handle).reply == b"1"
    result = worker.run(handle)
    assert (result.status, result.code, result.resident) == ("error", Code.AGENT_FAILED, False)
    assert "0x" in (result.backtrace or "")
    gone = worker.wait_for(lambda f: isinstance(f, Gone) and f.handle == handle)
    assert (gone.incarnation, gone.reason) == (1, "discarded")
    again = worker.run(handle, incarnation=2)
    assert (again.reply, again.incarnation) == (b"1", 2)


def test_orderly_end_runs_agent_shutdown_and_the_handle_can_be_forgotten(worker: Harness) -> None:
    extra = """(data (i32.const 100) "bye") (global $g (mut i32) (i32.const 0))
     (func (export "agent_shutdown") (loop $l (br_if $l (i32.const 1))))"""
    handle = worker.load(reactor("(i32.const 0)", extra=extra), shutdown_timeout_seconds=0.05)
    assert worker.run(handle).resident
    worker.send(End(handle, True, True))
    gone = worker.wait_for(lambda f: isinstance(f, Gone) and f.handle == handle)
    assert (gone.reason, gone.incarnation) == ("ended", 1)
    assert worker.run(handle).status == "unknown_handle"


def test_every_command_is_told_who_it_is_and_nothing_of_the_host(worker: Harness) -> None:
    environ = """(module
     (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
     (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
     (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
     (memory (export "memory") 1)
     (func (export "_start")
      (drop (call $sizes (i32.const 0) (i32.const 4))) (drop (call $get (i32.const 64) (i32.const 1024)))
      (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.load (i32.const 4)))
      (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"""
    handle = worker.load(environ, shape=Shape.COMMAND, env={"MINE": "1"}, name="me", output="text")
    names = {item.split("=")[0] for item in json.loads(worker.run(handle).reply or b"").split("\0") if item}
    assert names == {"MINE", "CAXTON_AGENT", "CAXTON_NODE", "CAXTON_MESSAGE_ID", "CAXTON_CONVERSATION_ID"}


def test_least_recently_used_instance_is_evicted_and_comes_back_with_its_next_incarnation() -> None:
    with Harness(max_resident=2) as worker:
        handles = [worker.load(COUNTER) for _ in range(3)]
        for handle in handles:
            assert worker.run(handle).reply == b"1"
        assert worker.wait_for(lambda f: isinstance(f, Gone)).handle == handles[0]
        assert worker.run(handles[2]).reply == b"2"
        assert worker.run(handles[0], incarnation=5).incarnation == 5


def test_idle_instances_are_evicted() -> None:
    with Harness(idle_timeout_seconds=0.1) as worker:
        handle = worker.load(COUNTER)
        gone = worker.wait_for(lambda f: isinstance(f, Gone) and f.handle == handle)
        assert gone.reason == "idle"


def test_worker_ends_with_its_router_and_on_sigterm() -> None:
    with Harness() as worker:
        worker.router.close()
        assert worker.process.wait(5) == 0
    with Harness() as worker:
        os.kill(worker.process.pid, signal.SIGTERM)
        assert worker.process.wait(5) == 0


def test_messages_for_a_busy_persistent_instance_wait_in_order(worker: Harness) -> None:
    handle = worker.load(reactor("(drop (call $sleep (i64.const 20000)))" + COUNT))
    ids = [worker.execute(handle) for _ in range(3)]
    assert [worker.result(i).reply for i in ids] == [b"1", b"2", b"3"]


def test_cancel_before_the_module_is_there_and_while_running(worker: Harness) -> None:
    handle = worker.load(ECHO.replace("4096", "20480"), fetch=False)
    early = worker.execute(handle)
    worker.send(Cancel(early))
    assert worker.result(early).status == "cancelled"
    worker.serve_fetch()
    assert worker.run(handle, 1).status == "ok"


def test_every_name_of_the_abi_can_be_imported(worker: Harness) -> None:
    assert IMPORTS.count('"caxton"') == 19
    worker.load(reactor("(i32.const 0)"))
    assert worker.start_result.status == "ok"


def test_reactor_without_its_exports_is_refused_at_start(worker: Harness) -> None:
    worker.load('(module (memory (export "memory") 1))')
    assert (worker.start_result.status, worker.start_result.code) == ("failure", Code.INVALID_WASM)
