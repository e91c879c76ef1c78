"""Time, random and waiting: what is denied, what is deterministic, what becomes a `Wait`."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from caxton.executor.wasi import FUNCTIONS, Wait, new_state
from caxton.executor.wasi.abi import EVENT, Errno
from support.wasi_calls import DATA, RESULT, Guest, granted

SUBSCRIPTIONS, EVENTS = 2048, 8192
REALTIME, MONOTONIC = 0, 1
MS = 1_000_000


def clock(userdata: int, timeout_ns: int, *, kind: int = MONOTONIC, absolute: bool = False) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", userdata, 0, kind, timeout_ns, 0, int(absolute))


def ready(userdata: int, fd: int, *, write: bool = False) -> bytes:
    return struct.pack("<QB7xI28x", userdata, 2 if write else 1, fd)


def guest(**more: object) -> Guest:
    return Guest(new_state(args=["t"], env={}, **more))  # type: ignore[arg-type]  # keywords of new_state as they come


def poll(one: Guest, *subscriptions: bytes) -> int | Wait:
    one.memory.write(SUBSCRIPTIONS, b"".join(subscriptions))
    function = FUNCTIONS["poll_oneoff"]
    return function.call(one.state, one.memory, SUBSCRIPTIONS, EVENTS, len(subscriptions), RESULT)


def events(one: Guest) -> list[tuple[int, ...]]:
    return list(EVENT.iter_unpack(one.memory.read(EVENTS, one.result() * EVENT.size)))


def test_no_subscription_and_too_many_are_refused() -> None:
    one = guest()
    call = FUNCTIONS["poll_oneoff"].call
    assert call(one.state, one.memory, SUBSCRIPTIONS, EVENTS, 0, RESULT) == Errno.EINVAL
    assert call(one.state, one.memory, SUBSCRIPTIONS, EVENTS, 1025, RESULT) == Errno.EINVAL
    assert call(one.state, one.memory, -1, EVENTS, 1, RESULT) == Errno.EFAULT
    assert call(one.state, one.memory, SUBSCRIPTIONS, -1, 1, RESULT) == Errno.EFAULT
    assert call(one.state, one.memory, SUBSCRIPTIONS, EVENTS, 1, -1) == Errno.EFAULT


@pytest.mark.parametrize("kind", [REALTIME, MONOTONIC])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_time_to_come_is_a_wait(kind: int, absolute: bool) -> None:
    one = guest()
    base = (time.time_ns() if kind == REALTIME else time.monotonic_ns()) if absolute else 0
    before = time.monotonic()
    answer = poll(one, clock(7, base + 50 * MS, kind=kind, absolute=absolute), clock(8, base + 5000 * MS, kind=kind))
    assert isinstance(answer, Wait)
    assert answer.until is not None
    assert 0.04 < answer.until - before < 1
    assert answer.finish() == 0
    assert events(one) == [(7, 0, 0, 0, 0)]


def test_a_time_that_has_passed_is_answered_at_once() -> None:
    one = guest()
    assert poll(one, clock(1, 0), clock(2, 1, absolute=True), clock(3, 10_000 * MS)) == 0
    assert [event[0] for event in events(one)] == [1, 2]


def test_a_wait_of_centuries_is_only_a_number() -> None:
    answer = poll(guest(), clock(1, (1 << 64) - 1))
    assert isinstance(answer, Wait)
    assert answer.until is not None
    assert answer.until > 1e9


def test_descriptors_are_ready_at_once_beside_clocks(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("12345")
    one = granted(tmp_path, stdin=b"abc")
    fd = one.opened("f")
    assert poll(one, clock(1, 10_000 * MS), ready(2, 0), ready(3, 1, write=True), ready(4, fd), clock(5, 0)) == 0
    found = {event[0]: event[1:] for event in events(one)}
    assert set(found) == {2, 3, 4, 5}
    assert found[2] == (0, 1, 3, 0)
    assert found[3][:2] == (0, 2)
    assert found[4] == (0, 1, 5, 0)
    one.read(0)
    assert poll(one, ready(2, 0)) == 0
    assert events(one) == [(2, 0, 1, 0, 1)]
    one.state.close()


def test_what_is_wrong_is_an_event_with_an_error(tmp_path: Path) -> None:
    one = granted(tmp_path)
    unknown = struct.pack("<QB39x", 9, 77)
    assert poll(
        one, clock(1, 1, kind=3), clock(2, 1, kind=99), ready(3, 50), ready(4, 3), ready(5, 0, write=True), unknown
    ) == 0  # fmt: skip
    assert [event[1] for event in events(one)] == [
        Errno.ENOTSUP, Errno.EINVAL, Errno.EBADF, Errno.EBADF, Errno.EBADF, Errno.EINVAL,
    ]  # fmt: skip
    one.state.close()


def test_clocks_tell_the_time() -> None:
    one = guest()
    assert one.call("clock_time_get", REALTIME, 0, RESULT) == 0
    assert abs(one.result(8) - time.time_ns()) < 10**10
    assert one.call("clock_time_get", MONOTONIC, 0, RESULT) == 0
    assert abs(one.result(8) - time.monotonic_ns()) < 10**10
    assert one.call("clock_res_get", MONOTONIC, RESULT) == 0
    assert one.result(8) == 1000
    for process_or_thread in (2, 3):
        assert one.call("clock_time_get", process_or_thread, 0, RESULT) == Errno.ENOTSUP
    assert one.call("clock_time_get", 4, 0, RESULT) == Errno.EINVAL
    assert one.call("clock_time_get", 0, 0, -4) == Errno.EFAULT


def test_denied_clocks_and_random_are_eacces_but_a_delay_is_not() -> None:
    one = guest(clocks=False, random=False)
    assert one.call("clock_time_get", REALTIME, 0, RESULT) == Errno.EACCES
    assert one.call("clock_res_get", REALTIME, RESULT) == Errno.EACCES
    assert one.call("random_get", DATA, 8) == Errno.EACCES
    assert one.memory.read(DATA, 8) == bytes(8)
    assert poll(one, clock(1, 1, absolute=True)) == 0
    assert events(one)[0][1] == Errno.EACCES
    assert isinstance(poll(one, clock(1, 50 * MS)), Wait)


def test_files_do_not_tell_the_time_to_whom_it_is_denied(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    one = granted(tmp_path, clocks=False)
    assert one.stat("f")[1][-3:] == (0, 0, 0)
    one.state.close()
    one = granted(tmp_path)
    assert min(one.stat("f")[1][-3:]) > 10**18
    one.state.close()


class Recorded:
    """A deterministic source whose answers are known."""

    def now_us(self) -> int:
        return 1_700_000_000_000_000

    def random_bytes(self, length: int) -> bytes:
        return b"\x07" * length


def test_a_deterministic_execution_sees_only_its_source() -> None:
    one = guest(deterministic=Recorded())
    for kind in (REALTIME, MONOTONIC):
        assert one.call("clock_time_get", kind, 0, RESULT) == 0
        assert one.result(8) == 1_700_000_000_000_000_000
    assert one.call("random_get", DATA, 100_000) == 0
    assert one.memory.read(DATA, 100_000) == b"\x07" * 100_000
    answer = poll(one, clock(1, 1_700_000_000_000_000_000 + 500 * MS, absolute=True))
    assert isinstance(answer, Wait)
    assert answer.until is not None
    assert 0.3 < answer.until - time.monotonic() <= 0.5


def test_random_fills_exactly_what_was_asked_for_within_bounds() -> None:
    one = guest()
    one.memory.data.extend(bytes(2 << 20))
    assert one.call("random_get", DATA, 100_000) == 0
    assert one.memory.read(DATA, 100_000).count(0) < 2000
    assert one.memory.read(DATA + 100_000, 16) == bytes(16)
    assert one.call("random_get", DATA, (1 << 20) + 1) == Errno.EINVAL
    assert one.call("random_get", DATA, -1) == Errno.EFAULT
