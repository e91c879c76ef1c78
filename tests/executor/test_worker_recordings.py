"""What a worker records of an execution, and that a fresh worker repeats it to the bit, asking nobody."""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.dev.comparing import differences
from caxton.executor.worker.hostcalls import TIMEOUT
from caxton.protocol.agents import Instance, Profile, Shape
from caxton.protocol.errors import Code
from caxton.protocol.execution import HostCall, HostReply, Replay, Result
from caxton.protocol.recordings import MAX_BYTES, Recording, pack, unpack
from caxton.protocol.snapshots import MAX_MEMORY_BYTES
from support import recorded_agents, snapshot_agents, worker_modules
from support.recorded_agents import curious
from support.worker_harness import Harness, message

NOT_FOUND = -4
PROFILES = [Profile.STANDARD, Profile.DETERMINISTIC]


@pytest.fixture(scope="module")
def here():
    with Harness() as harness:
        yield harness


@pytest.fixture(scope="module")
def elsewhere():
    with Harness() as harness:
        yield harness


def load(worker: Harness, wat: str, **fields: Any) -> int:
    return worker.load(wat, record=True, fetch=False, **fields)


def fetched(worker: Harness) -> None:
    """Gives the worker the module of what was begun, if it has to ask for it."""
    if len(worker.modules) > worker.fetches:
        worker.serve_fetch()


def run(worker: Harness, handle: int, key: bytes | None = b"the value", **fields: Any) -> Recording:
    """One recorded execution; its requests are answered."""
    exec_id = worker.execute(handle, {"n": 1}, **fields)
    fetched(worker)
    while True:
        frame = worker.wait_for(lambda f: isinstance(f, HostCall | Result) and f.exec_id == exec_id)
        if isinstance(frame, Result):
            assert frame.recording is not None
            return unpack(frame.recording)
        if frame.kind == "request":
            answer = msgspec.msgpack.encode(message("the answer", sender="oracle"))
            worker.send(HostReply(exec_id, frame.call_id, 0, answer))
        elif frame.kind == "secret":
            worker.send(HostReply(exec_id, frame.call_id, 0, b"hunter2"))
        elif frame.kind == "load" and key is not None:
            worker.send(HostReply(exec_id, frame.call_id, 0, key))
        else:
            worker.send(HostReply(exec_id, frame.call_id, NOT_FOUND))


def replay(worker: Harness, recording: Recording, wat: str, *, other: bool = False) -> Recording:
    """In a worker that never saw the agent: whatever it asks of the outside fails the test."""
    spec = {field: getattr(recording.spec, field) for field in recording.spec.__struct_fields__}
    sha256 = f"{hash((wat, spec['profile'], spec['snapshot'])):x}"
    handle = worker.load(wat, fetch=False, **{**spec, "limits": None, "module_sha256": sha256})
    exec_id = next(worker._ids)
    packed = zlib.compress(msgspec.msgpack.encode(recording))
    worker.send(Replay(exec_id, handle, packed, with_memory=not other))
    fetched(worker)
    frame = worker.wait_for(lambda f: isinstance(f, HostCall | Result) and f.exec_id == exec_id)
    assert isinstance(frame, Result)
    assert frame.recording is not None
    return unpack(frame.recording)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_replay_repeats_a_warm_instance_to_the_bit(
    here: Harness, elsewhere: Harness, profile: Profile, snapshot: bool
) -> None:
    wat = curious()
    handle = load(here, wat, profile=profile, snapshot=snapshot)
    first, second = (run(here, handle, seed=seed) for seed in (7, 8))
    assert first.ended.reply != second.ended.reply
    assert (first.before is None, second.before is not None, second.lacks) == (True, True, None)
    for recording in (second, first):
        again = replay(elsewhere, recording, wat)
        assert differences(recording, again) == []
        assert again.diverged is None
        assert again.calls == recording.calls
    assert (second.ended.usage.fuel is not None) is (profile is Profile.DETERMINISTIC)


@pytest.mark.parametrize("profile", PROFILES)
def test_messages_that_waited_for_the_instance_are_repeated_too(
    here: Harness, elsewhere: Harness, profile: Profile
) -> None:
    """Of one clock and of one row of timers: both go on while a message waits."""
    wat = curious(asks=False)
    handle = load(here, wat, profile=profile)
    run(here, handle)
    waiting = [here.execute(handle, {"n": 1}, seed=seed) for seed in range(4)]
    for exec_id in waiting:
        asked = here.wait_for(lambda f, own=exec_id: isinstance(f, HostCall) and f.exec_id == own)
        here.send(HostReply(exec_id, asked.call_id, 0, b"the value"))
    recordings = [unpack(here.result(exec_id).recording or b"") for exec_id in waiting]
    assert [differences(one, replay(elsewhere, one, wat)) for one in recordings] == [[]] * 4


def test_what_was_answered_decides(here: Harness, elsewhere: Harness) -> None:
    """The comparison sees it when a replay is given something else."""
    wat = curious()
    recording = run(here, load(here, wat))
    calls = [
        msgspec.structs.replace(call, data=b"another value") if call.kind == "load" else call
        for call in recording.calls
    ]
    again = replay(elsewhere, msgspec.structs.replace(recording, calls=calls), wat)
    assert [found.what for found in differences(recording, again)][:1] == ["reply"]


def test_the_first_host_call_that_differs_is_named(here: Harness, elsewhere: Harness) -> None:
    recording = run(here, load(here, curious()))
    again = replay(elsewhere, recording, curious(key="other"), other=True)
    assert again.diverged is not None
    assert (again.diverged.number, again.diverged.recorded, again.diverged.found) == (
        1,
        recording.calls[0],
        msgspec.structs.replace(recording.calls[0], what="other", status=0, data=b""),
    )
    assert again.ended.status == "error"


def test_another_module_meets_the_recorded_answers(here: Harness, elsewhere: Harness) -> None:
    recording = run(here, load(here, curious(asks=False)))
    again = replay(elsewhere, recording, curious(asks=False, twist=1), other=True)
    assert [found.what for found in differences(recording, again, inside=False)] == ["reply"]
    assert again.diverged is None


def test_a_program_is_repeated_with_its_clock_and_chance(here: Harness, elsewhere: Harness) -> None:
    wat = recorded_agents.DICE
    recording = run(here, load(here, wat, shape=Shape.COMMAND, instance=Instance.PER_MESSAGE))
    assert {call.kind for call in recording.calls} == {"clock", "random"}
    assert differences(recording, replay(elsewhere, recording, wat)) == []


def test_a_memory_that_is_too_large_is_left_out(here: Harness) -> None:
    large = MAX_MEMORY_BYTES // 65_536 + 1
    wat = curious(asks=False).replace('(memory (export "memory") 2)', f'(memory (export "memory") {large})')
    handle = load(here, wat)
    first, second = run(here, handle), run(here, handle)
    assert (first.lacks, second.before, str(MAX_MEMORY_BYTES) in (second.lacks or "")) == (None, None, True)


@pytest.mark.parametrize("noise", [True, False])
def test_a_memory_that_hardly_shrinks_is_left_out(here: Harness, noise: bool) -> None:
    """A node would drop the recording; to find that out at the end would hold up all other guests of the worker."""
    handle = load(here, recorded_agents.large(512, noise=noise))
    run(here, handle)
    warm = run(here, handle)
    assert (warm.lacks is not None, warm.before is None, warm.ended.status) == (noise, noise, "ok")
    assert len(pack(warm) or b"") < 1_000_000


@pytest.mark.parametrize("instructions", snapshot_agents.HOLDING)
def test_a_snapshot_that_was_refused_is_refused_again(here: Harness, elsewhere: Harness, instructions: str) -> None:
    wat = snapshot_agents.counter_and(instructions, snapshot_agents.WASI)
    recording = run(here, load(here, wat, snapshot=True))
    assert (recording.ended.status, recording.ended.code) == ("error", Code.SNAPSHOT_REFUSED)
    assert differences(recording, replay(elsewhere, recording, wat)) == []


def test_a_secret_is_not_in_a_recording(here: Harness, elsewhere: Harness) -> None:
    wat = recorded_agents.SECRETIVE
    handle = load(here, wat, secrets=["token"])
    recording, warm = run(here, handle), run(here, handle)
    assert b"hunter2" not in msgspec.msgpack.encode(recording) + msgspec.msgpack.encode(warm)
    assert recording.masked == ["token"]
    assert (warm.before, warm.lacks is None) == (None, False)
    assert replay(elsewhere, recording, wat).diverged is None


def test_what_it_says_with_a_secret_in_hand_is_not_in_a_recording(here: Harness, elsewhere: Harness) -> None:
    """Neither of the execution that got it, nor of a later one whose memory may hold it."""
    wat = recorded_agents.calls_with_its_secret()
    handle = load(here, wat, secrets=["token"], http=["https://api.example.com"])
    recording, warm = run(here, handle), run(here, handle)
    assert b"hunter2" not in msgspec.msgpack.encode(recording) + msgspec.msgpack.encode(warm)
    assert [call.kind for call in recording.calls if call.hidden] == ["http", "request"]
    assert recording.masked == ["token"]
    again = replay(elsewhere, recording, wat)
    assert (differences(recording, again), again.diverged, again.ended.memory) == ([], None, None)


def test_a_module_that_asks_others_something_else_does_not_do_the_same(here: Harness, elsewhere: Harness) -> None:
    """Once more, no more, or otherwise: its reply alone does not show it."""
    old, less = curious(sends=False), curious(sends=False, asks=False)
    recording = run(here, load(here, old))
    again = replay(elsewhere, recording, less, other=True)
    assert "asked outside" in [found.what for found in differences(recording, again, inside=False)]
    wats = [recorded_agents.calls_with_its_secret(path) for path in "ab"]
    recording = run(here, load(here, wats[0], secrets=["token"], http=["https://api.example.com"]))
    sides = [replay(elsewhere, recording, wat, other=True) for wat in wats]
    assert [found.what for found in differences(*sides, inside=False)] == ["asked outside"]
    assert differences(recording, sides[1], inside=False) == []  # it does not know what was asked


def test_what_a_warm_instance_says_may_hold_an_earlier_secret(here: Harness) -> None:
    wat = recorded_agents.asks_outside("2100-01-01T00:00:00Z")
    handle = load(here, wat, secrets=["token"], http=["https://api.example.com"])
    assert [[call.hidden for call in run(here, handle).calls if call.kind == "http"] for _ in range(2)] == [
        [False],
        [True],
    ]


def test_what_came_from_the_web_and_what_never_came_are_on_the_tape(here: Harness, elsewhere: Harness) -> None:
    """A replay gets both at once: it neither asks nor waits."""
    soon = datetime.now(UTC) + timedelta(seconds=1)
    wat = recorded_agents.asks_outside(soon.isoformat())
    handle = load(here, wat, http=["https://api.example.com"], limits={"execution_timeout_seconds": 60.0})
    exec_id = here.execute(handle, {"n": 1})
    fetched(here)
    asked = here.wait_for(lambda frame: isinstance(frame, HostCall) and frame.exec_id == exec_id)
    assert asked.kind == "http"
    here.send(HostReply(exec_id, asked.call_id, 0, b'{"status":200}'))
    result = here.result(exec_id, 30.0)  # nobody answers the other agent's part
    assert result.recording is not None
    recording = unpack(result.recording)
    kinds = [(call.kind, call.status, call.data) for call in recording.calls if call.kind in ("http", "request")]
    assert kinds == [("http", 0, b'{"status":200}'), ("request", TIMEOUT, b"")]
    again = replay(elsewhere, recording, wat)
    assert (differences(recording, again), again.diverged) == ([], None)
    assert recording.ended.reply == bytes([45 + len(b'{"status":200}') + TIMEOUT])


def peak_bytes(worker: Harness) -> int:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def test_a_guest_does_not_fill_its_worker_with_answers() -> None:
    """There is no recording of what would be larger than one may be; the guest goes on."""
    with Harness() as worker:
        handle = worker.load(recorded_agents.INSATIABLE, record=True)
        before, exec_id = peak_bytes(worker), worker.execute(handle, 1)
        while not isinstance(
            frame := worker.wait_for(lambda f: isinstance(f, HostCall | Result) and f.exec_id == exec_id), Result
        ):
            worker.send(HostReply(exec_id, frame.call_id, 0, b"v" * 1_000_000))
        assert (frame.status, frame.usage.host_calls, frame.recording) == ("ok", 400, None)
        assert peak_bytes(worker) - before < MAX_BYTES + 32 * 1024 * 1024


def test_an_agent_that_is_not_recorded_has_no_recording(here: Harness) -> None:
    assert here.run(here.load(worker_modules.ECHO), 1).recording is None
