from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.protocol.errors import Code
from caxton.protocol.execution import HostCall, HostReply
from support.worker_harness import Harness, message
from support.worker_modules import ECHO, IMPORTS, reactor


@pytest.fixture(scope="module")
def worker():
    with Harness() as harness:
        yield harness


def sender(body: str, *, call: str = "$send") -> str:
    data = body.encode()
    text = "".join(f"\\{byte:02x}" for byte in data)
    return reactor(
        f"(call $answer (call {call} (i32.const 1000) (i32.const {len(data)})))",
        extra=f'(data (i32.const 1000) "{text}")',
    )


def test_send_message_sets_what_only_the_host_may(worker: Harness) -> None:
    body = (
        '{"performative":"Query-If","receiver":"team/other","content":{"a":1},"reply_by":"2027-01-15T08:00:00Z",'
        '"message_id":"mine","priority":7,"trace_context":"mine"}'
    )
    parent = message(1, conversation_id="talk", traceparent="00-t")
    result = worker.run(worker.load(sender(body), name="me"), message=parent)
    sent = result.sent[0].message
    assert not result.sent[0].is_reply
    assert (sent.performative, sent.sender, sent.receiver, sent.content) == (
        "query_if",
        "me",
        "team/other",
        b'{"a":1}',
    )
    assert (sent.conversation_id, sent.traceparent, sent.priority) == ("talk", "00-t", 7)
    assert sent.reply_by == 1_800_000_000.0
    assert sent.message_id not in ("mine", parent.message_id)
    assert [s.is_reply for s in result.sent] == [False, True]


def test_an_answer_by_send_message_counts_as_the_reply(worker: Harness) -> None:
    body = '{"performative":"refuse","receiver":"client:test","content":"no"}'
    wat = sender(body).replace("(call $answer (call $send", "(i32.add (i32.const 0) (call $send")
    result = worker.run(worker.load(wat))
    assert (result.status, result.reply, result.sent[0].is_reply) == ("ok", b'"no"', True)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"performative":"shout","receiver":"other"}',
        '{"performative":"inform","receiver":"Not A Name"}',
        '{"performative":"inform","receiver":"client:somebody-else"}',
        '{"performative":"inform","receiver":"other","sender":"forged"}',
        '{"performative":"inform","receiver":"other","unknown":1}',
        '{"performative":"inform","receiver":"other","reply_by":"tomorrow"}',
        '{"performative":"inform","receiver":"other","priority":11}',
        '{"performative":"inform","receiver":"other","language":"bytes","content":"%%"}',
        '{"performative":"inform","receiver":"other","content":' + "[" * 2_000,
        "",
    ],
)
def test_a_malformed_message_fails_the_execution_with_its_place(worker: Harness, body: str) -> None:
    result = worker.run(worker.load(sender(body)))
    assert (result.status, result.code, result.sent, result.resident) == ("failure", Code.INVALID_MESSAGE, [], True)
    assert (result.detail or "").startswith("send_message[0]")


def test_a_reply_that_is_not_json_fails_the_execution(worker: Harness) -> None:
    wat = sender("not json", call="$reply").replace(
        "(call $answer (call $reply", "(i32.add (i32.const 0) (call $reply"
    )
    result = worker.run(worker.load(wat))
    assert (result.status, result.code, result.reply) == ("failure", Code.INVALID_MESSAGE, None)


@pytest.mark.parametrize(
    ("send", "expected"), [([], b"-1"), (["other"], b"0"), (["ot*"], b"0"), (["team/*"], b"-1"), (["*"], b"0")]
)
def test_send_grant_decides_who_may_be_addressed(worker: Harness, send: list[str], expected: bytes) -> None:
    wat = sender('{"performative":"inform","receiver":"other"}')
    assert worker.run(worker.load(wat, send=send)).reply == expected


@pytest.mark.parametrize(
    "call", ["store", "load", "delete", "random", "now", "http", "secret", "subscribe", "broadcast"]
)
def test_without_its_grant_a_function_answers_denied(worker: Harness, call: str) -> None:
    args = {"store": 4, "load": 4, "delete": 2, "random": 0, "now": 0, "subscribe": 2}.get(call, 4)
    run = f"(call ${call} {'(i32.const 8) ' * args})"
    wat = reactor(f"(call $answer {f'(i32.wrap_i64 {run})' if call == 'now' else run})")
    denied = {"kv": False, "send": [], "clocks": False, "random": False}
    assert worker.run(worker.load(wat, **denied)).reply == b"-1"
    granted = {"secret": b"-1", "subscribe": b"-2", "broadcast": b"-2"}  # another's name; what is no JSON
    if call in granted:
        assert worker.run(worker.load(wat, secrets=["s"], topics=["t"])).reply == granted[call]


def test_writes_timers_and_logs_come_with_the_result(worker: Harness) -> None:
    body = """(drop (call $store (i32.const 1000) (i32.const 1) (i32.const 1001) (i32.const 2)))
     (drop (call $store (i32.const 1003) (i32.const 1) (i32.const 1001) (i32.const 1)))
     (drop (call $store (i32.const 1000) (i32.const 1) (i32.const 1001) (i32.const 1)))
     (drop (call $cancel_timer (call $set_timer (i64.const 5000000))))
     (drop (call $cancel_timer (i32.const 77)))
     (drop (call $set_timer (i64.const 5000000)))
     (call $log (i32.const 1000) (i32.const 4)) (call $error (i32.const 1000) (i32.const 5))
     (i32.const 0)"""
    result = worker.run(worker.load(reactor(body, extra='(data (i32.const 1000) "kvwl\\0a")')))
    assert result.writes == [("l", b"v"), ("k", b"v")]
    assert (len(result.timers_set), result.timers_cancelled) == (1, [77])
    assert [(line.stream, line.text) for line in result.logs] == [("log", "kvwl"), ("error", "kvwl\\x0a")]


def test_a_key_that_is_not_utf8_fails_the_execution(worker: Harness) -> None:
    body = "(call $store (i32.const 1000) (i32.const 1) (i32.const 0) (i32.const 1))"
    result = worker.run(worker.load(reactor(body, extra='(data (i32.const 1000) "\\ff")')))
    assert (result.status, result.code, result.writes) == ("failure", Code.INVALID_MESSAGE, [])


def test_a_second_reply_and_a_reply_to_a_timer_are_invalid(worker: Harness) -> None:
    wat = reactor("(drop (call $reply (local.get $p) (local.get $n))) (call $reply (local.get $p) (local.get $n))")
    handle = worker.load(wat)
    assert worker.run(handle, 1).exit_code == -2
    extra = '(func (export "handle_timer") (param i32) (result i32) (call $reply (i32.const 0) (i32.const 1)))'
    timer = worker.load(reactor("(i32.const 0)", extra=extra))
    assert worker.run(timer, timer_id=1, sender="timer:1").exit_code == -2


_CALLS = [line.split('"')[3] for line in IMPORTS.strip().splitlines()]
_INTERESTING = st.sampled_from([0, 1, -1, 8, 4096, 65_535, 65_536, 131_072, 2**31 - 1, -(2**31)])
_NUMBERS = st.one_of(_INTERESTING, st.integers(-(2**31), 2**31 - 1))


def fuzz_module() -> str:
    """Calls import number `k` with four integers, all read from the message's content at a fixed place."""
    branches = []
    for index, line in enumerate(IMPORTS.strip().splitlines()):
        name = line.split("$")[1].split(" ")[0]
        params = line.split("(param ")[1].split(")")[0].split() if "(param" in line else []
        loads = [
            f"(i32.load (i32.const {20 + 4 * i}))" if p == "i32" else f"(i64.load32_s (i32.const {20 + 4 * i}))"
            for i, p in enumerate(params)
        ]
        call = f"(call ${name} {' '.join(loads)})"
        if "(result" in line:
            call = f"(drop {call})"
        branches.append(f"(if (i32.eq (i32.load (i32.const 16)) (i32.const {index})) (then {call}))")
    return reactor(
        """(local.set $i (i32.const 0))
        (loop $find (local.set $p (i32.add (local.get $p) (i32.const 1)))
         (br_if $find (i32.ne (i32.load8_u (local.get $p)) (i32.const 35))))
        (loop $word
         (i32.store (i32.add (i32.const 16) (i32.mul (local.get $i) (i32.const 4)))
          (call $hex (i32.add (local.get $p) (i32.add (i32.const 1) (i32.mul (local.get $i) (i32.const 8))))))
         (local.set $i (i32.add (local.get $i) (i32.const 1)))
         (br_if $word (i32.lt_u (local.get $i) (i32.const 5))))
        """
        + "\n".join(branches)
        + "(i32.const 0)",
        locals_="(local $i i32)",
        extra="""(func $hex (param $p i32) (result i32) (local $v i32) (local $k i32) (local $c i32)
         (loop $l (local.set $c (i32.load8_u (i32.add (local.get $p) (local.get $k))))
          (local.set $v (i32.or (i32.shl (local.get $v) (i32.const 4))
           (i32.sub (local.get $c) (select (i32.const 87) (i32.const 48) (i32.ge_u (local.get $c) (i32.const 97))))))
          (local.set $k (i32.add (local.get $k) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $k) (i32.const 8)))) (local.get $v))""",
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(_CALLS) - 1), st.lists(_NUMBERS, min_size=4, max_size=4))
def test_no_argument_of_a_host_call_harms_the_worker(
    fuzzed: tuple[Harness, int], which: int, words: list[int]
) -> None:
    worker, handle = fuzzed
    text = "#" + "".join(f"{word & 0xFFFFFFFF:08x}" for word in (which, *words))
    exec_id = worker.execute(handle, text)
    answered = worker.wait_for(lambda f: getattr(f, "exec_id", None) == exec_id and not hasattr(f, "sleeping"))
    if isinstance(answered, HostCall):
        worker.send(HostReply(exec_id, answered.call_id, 3, b"abc"))
        answered = worker.result(exec_id)
    assert answered.status in ("ok", "failure") or answered.code == Code.EXECUTION_TIMEOUT


@pytest.fixture(scope="module")
def fuzzed():
    with Harness() as harness:
        yield harness, harness.load(fuzz_module(), limits={"execution_timeout_seconds": 0.05})
        assert harness.run(harness.load(ECHO), 1).status == "ok"
