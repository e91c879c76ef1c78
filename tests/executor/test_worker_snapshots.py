"""What a worker captures after an execution, and what it makes of a snapshot."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from caxton.protocol.errors import Code
from caxton.protocol.execution import End, Gone, HostCall, HostReply, Result, Start
from caxton.protocol.snapshots import BLOCK_BYTES, PART_BYTES, Image, Snapshot
from support import snapshot_agents as agents
from support.worker_harness import Harness

NOT_FOUND = -4
_encode = msgspec.msgpack.encode


@pytest.fixture(scope="module")
def worker():
    with Harness() as harness:
        yield harness


def load(worker: Harness, wat: str, **fields: Any) -> int:
    """Makes an agent with snapshots known, whose module is there."""
    known = len(worker.modules)
    handle = worker.load(wat, fetch=False, snapshot=True, **fields)
    exec_id = next(worker._ids)
    worker.send(Start(exec_id, handle, 1))
    if len(worker.modules) > known:
        worker.serve_fetch()
    assert ask(worker, exec_id, None).status == "ok"
    return handle


def ask(worker: Harness, exec_id: int, images: list[Image] | None) -> Result:
    """The result; a fresh instance gets `images`, or that there is no snapshot."""
    while True:
        frame = worker.wait_for(lambda f: isinstance(f, HostCall | Result) and f.exec_id == exec_id)
        if isinstance(frame, Result):
            return frame
        assert frame.kind == "restore"
        if images is None:
            worker.send(HostReply(exec_id, frame.call_id, NOT_FOUND))
        else:
            worker.send(HostReply(exec_id, frame.call_id, 0, _encode(images[int(frame.key or "")])))


def run(worker: Harness, handle: int, images: list[Image] | None = None) -> Result:
    return ask(worker, worker.execute(handle), images)


def forget(worker: Harness, handle: int) -> None:
    """The instance leaves memory."""
    worker.send(End(handle, orderly=False))
    worker.wait_for(lambda f: isinstance(f, Gone) and f.handle == handle)


class Stored:
    """What a store would hold: snapshots put together."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}
        self.last: Snapshot

    def add(self, change: Snapshot | None) -> None:
        assert change is not None
        if change.whole:
            self.blocks.clear()
        self.blocks.update(change.blocks)
        self.last = change

    def images(self, incarnation: int = 1) -> list[Image]:
        size, each = self.last.memory_bytes, PART_BYTES // BLOCK_BYTES
        return [
            Image(incarnation, size, self.last.globals, b"", [b for b in self.blocks.items() if b[0] // each == part])
            for part in range(-(-size // PART_BYTES))
        ]


def test_a_restored_instance_goes_on_bit_by_bit(worker: Harness) -> None:
    plain = worker.load(agents.STATE)
    expected = [worker.run(plain).reply for _ in range(60)]
    handle, stored = load(worker, agents.STATE), Stored()
    for step, reply in enumerate(expected):
        images = stored.images() if step else None
        result = run(worker, handle, images)
        assert result.reply == reply, step
        assert (result.woke_seconds is not None) is (step > 0 and step % 7 == 0)
        stored.add(result.snapshot)
        if step % 7 == 6:
            forget(worker, handle)
    assert stored.last.memory_bytes > 20 * 65_536  # so it grew, and travelled in two parts
    assert len(stored.images()) == 2


def test_only_changed_blocks_are_captured(worker: Harness) -> None:
    handle = load(worker, agents.COUNTER)
    first = run(worker, handle).snapshot
    assert first is not None
    assert first.whole
    assert {number for number, _ in first.blocks} == {0, 1, 8}  # digits, count, message
    second = run(worker, handle).snapshot
    assert second is not None
    assert not second.whole
    assert {number for number, _ in second.blocks} == {0, 1, 8}
    assert all(len(data) == BLOCK_BYTES for _, data in second.blocks)


def test_an_execution_that_changed_nothing_has_no_snapshot(worker: Harness) -> None:
    handle = load(worker, agents.COUNTER.replace("i32.const 4096) (i32.add", "i32.const 4096) (i32.and"))
    message = {"message_id": "11111111-1111-4111-8111-111111111111"}
    assert ask(worker, worker.execute(handle, **message), None).snapshot is not None
    assert ask(worker, worker.execute(handle, **message), None).snapshot is None


def test_a_trap_captures_nothing_and_the_next_instance_asks_again(worker: Harness) -> None:
    third = "(if (i32.eq (i32.load (i32.const 4096)) (i32.const 3)) (then unreachable))"
    handle, stored = load(worker, agents.counter_and(third)), Stored()
    for expected in (b"1", b"2"):
        result = run(worker, handle)
        assert result.reply == expected
        stored.add(result.snapshot)
    trapped = run(worker, handle)
    assert (trapped.status, trapped.snapshot) == ("error", None)
    again = run(worker, handle, stored.images(incarnation=5))
    assert (again.status, again.incarnation) == ("error", 5)  # it was two again


def test_the_agents_own_error_is_captured(worker: Harness) -> None:
    second = "(if (i32.eq (i32.load (i32.const 4096)) (i32.const 2)) (then (return (i32.const 9))))"
    handle = load(worker, agents.counter_and(second))
    assert run(worker, handle).status == "ok"
    failed = run(worker, handle)
    assert (failed.status, failed.exit_code) == ("failure", 9)
    assert failed.snapshot is not None
    assert run(worker, handle).reply == b"3"


@pytest.mark.parametrize("instructions", agents.HOLDING)
def test_what_a_guest_holds_outside_of_its_memory_is_refused(worker: Harness, instructions: str) -> None:
    handle = load(worker, agents.counter_and(instructions, agents.WASI))
    result = run(worker, handle)
    assert (result.status, result.code) == ("error", Code.SNAPSHOT_REFUSED)
    assert (result.snapshot, result.resident) == (None, False)


def test_an_undisturbed_wasi_reactor_is_captured(worker: Harness) -> None:
    assert run(worker, load(worker, agents.counter_and("", agents.WASI))).snapshot is not None


def test_a_snapshot_that_does_not_fit_is_refused(worker: Harness) -> None:
    handle = load(worker, agents.COUNTER, limits={"memory_bytes": 200_000})
    for image in (Image(1, 65_536 * 8, b"", b"", []), Image(1, 65_536 * 2, b"\0abcd", b"", [])):
        forget(worker, handle)
        result = run(worker, handle, [image])
        assert (result.status, result.code) == ("error", Code.SNAPSHOT_REFUSED)


def test_idle_instances_hibernate() -> None:
    with Harness(idle_timeout_seconds=0.2) as worker:
        handle = load(worker, agents.COUNTER)
        gone = worker.wait_for(lambda f: isinstance(f, Gone))
        assert (gone.handle, gone.reason) == (handle, "idle")


def test_an_agent_that_waits_does_not_hibernate() -> None:
    sleep = '(import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))'
    with Harness(idle_timeout_seconds=0.1) as worker:
        handle = load(worker, agents.counter_and("(drop (call $sleep (i64.const 1500000)))", sleep))
        result = run(worker, handle)
        assert (result.status, result.reply) == ("ok", b"1")


def test_a_start_with_a_snapshot_neither_initialises_nor_asks_for_capabilities(worker: Harness) -> None:
    text = agents.STATE.replace(
        '(func (export "caxton_alloc")',
        '(func (export "get_capabilities") (param i32 i32) (result i32) unreachable) (func (export "caxton_alloc")',
    )
    handle = worker.load(text, fetch=False, snapshot=True)
    exec_id = next(worker._ids)
    worker.send(Start(exec_id, handle, 4))
    worker.serve_fetch()
    assert ask(worker, exec_id, None).status == "error"  # a fresh one is asked what it can
    exec_id = next(worker._ids)
    worker.send(Start(exec_id, handle, 4))
    variables = b"\0" + bytes(4) + b"\1" + bytes(8) + b"\2" + bytes(4) + b"\3" + bytes(8) + b"\4" + bytes(16)
    started = ask(worker, exec_id, [Image(2, 65_536 * 2, variables + b"\1" + bytes(8), b"", [])])
    assert (started.status, started.resident, started.incarnation) == ("ok", True, 2)
