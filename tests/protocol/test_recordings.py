"""Recordings as files: what is written is read again, and whatever else comes is refused, small."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.protocol import recordings
from caxton.protocol.agents import DirGrant, EffectiveLimits, Instance, Profile, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec, Usage
from caxton.protocol.messages import Message
from caxton.protocol.recordings import (
    MAX_BYTES,
    Call,
    Carried,
    Ended,
    Memory,
    Recording,
    pack,
    read_carried,
    unpack,
    write_carried,
)
from caxton.protocol.snapshots import BLOCK_BYTES, MAX_MEMORY_BYTES

SPEC = AgentSpec(
    name="one",
    version=1,
    module_sha256="ab" * 32,
    shape=Shape.REACTOR,
    instance=Instance.PERSISTENT,
    profile=Profile.STANDARD,
    limits=EffectiveLimits(),
    node="n1",
    config={"deep": {"er": [1, 2]}},
)
MESSAGE = Message(
    message_id="m", performative="request", sender="client:a", receiver="one", content=b"1", conversation_id="c"
)
BLOCK = (3, b"x" * BLOCK_BYTES)
RECORDING = Recording(
    format=1,
    spec=SPEC,
    message=MESSAGE,
    incarnation=2,
    began_us=5,
    seed=7,
    last_timer_id=0,
    ended=Ended("ok", Usage(0.1, 0.1, 65536)),
    before=Memory(65536, [BLOCK]),
    calls=[Call("clock", status=9), Call("random", "2", data=b"ab")],
)
CARRIED = Carried("0123456789ab-1", RECORDING, b"\0asm")
FILE = write_carried(CARRIED)
HEAD = FILE.index(b"\n") + 1


def refused(data: bytes) -> str:
    with pytest.raises(CaxtonError) as caught:
        read_carried(data)
    assert caught.value.code is Code.INVALID_REQUEST
    return str(caught.value.details["reason"])


def packed(value: Any) -> bytes:
    return FILE[:HEAD] + zlib.compress(msgspec.msgpack.encode(value))


def test_what_is_written_is_read_again() -> None:
    assert read_carried(FILE) == CARRIED
    whole = pack(RECORDING)
    assert whole is not None
    assert unpack(whole) == RECORDING
    assert pack(msgspec.structs.replace(RECORDING, seed=1, lacks="x" * MAX_BYTES)) is None
    assert (pack(RECORDING, len(whole)), pack(RECORDING, len(whole) - 1)) == (whole, None)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_whatever_is_cut_or_changed_is_read_or_refused(noise: bytes, at: int, inside: bool) -> None:
    """`inside`: what is under the compression, which a stranger can make as easily."""
    if inside:
        plain = zlib.decompress(FILE[HEAD:])
        data = FILE[:HEAD] + zlib.compress(plain[:at] + noise + plain[at + len(noise) :])
    else:
        data = FILE[:at] + noise + FILE[at + len(noise) :]
    for broken in (data, data[:at], noise):
        found: Carried | CaxtonError
        try:
            found = read_carried(broken)
        except CaxtonError as error:
            found = error
        assert isinstance(found, Carried) or found.code is Code.INVALID_REQUEST


def test_what_grows_without_end_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and with a recording at its beginning: only its size is wrong."""
    plain = zlib.decompress(FILE[HEAD:])
    bomb = FILE[:HEAD] + zlib.compress(plain + b"\0" * (1 << 20))
    monkeypatch.setattr(recordings, "MAX_FILE_BYTES", len(plain))
    assert "too large" in refused(bomb)
    assert read_carried(FILE) == CARRIED
    assert "cut off" in refused(FILE[:-10])


def test_what_is_nested_without_end_is_refused() -> None:
    deep = msgspec.msgpack.encode(msgspec.structs.asdict(CARRIED)).replace(
        msgspec.msgpack.encode({"er": [1, 2]}), b"\x91" * 100_000 + b"\x01"
    )
    refused(FILE[:HEAD] + zlib.compress(deep))


def test_another_format_is_named_before_anything_else_of_it_is_believed() -> None:
    assert "format is 2" in refused(packed({"execution": 5, "recording": {"format": 2, "other": True}}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"spec": {"dirs": [DirGrant("/etc", "/etc")]}},
        {"spec": {"profile": Profile.THREADS}},
        {"spec": {"memories": 0}},
        {"spec": {"output": "shell"}},
        {"began_us": 2**63},
        {"calls": [Call("clock", status=2**63)]},
        {"calls": [Call("random", "1", data=b"far more than that")]},
        {"calls": [Call("request", "oracle", data=b"no message")]},
        {"before": Memory(65536, [(16, BLOCK[1])])},
        {"before": Memory(65536, [(-1, BLOCK[1])])},
        {"before": Memory(65536, [(0, b"short")])},
        {"before": Memory(1, [])},
        {"before": Memory(MAX_MEMORY_BYTES + 65536, [])},
        {"before": Memory(65536, [], fuel_used=-1)},
    ],
    ids=str,
)
def test_what_no_node_records_is_refused(wrong: dict[str, Any]) -> None:
    """Above all a directory of the host: a module that is replayed could read and write it."""
    if "spec" in wrong:
        wrong = {"spec": msgspec.structs.replace(SPEC, **wrong["spec"])}
    refused(write_carried(Carried("e", msgspec.structs.replace(RECORDING, **wrong), b"")))
