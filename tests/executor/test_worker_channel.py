"""The worker's end of its socket: frames whole and in order however they are cut, and nothing of them kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.executor.binding.wipe import wipe
from caxton.executor.worker.channel import READ_BYTES, Channel
from caxton.protocol.errors import CaxtonError
from caxton.protocol.execution import HostReply, RouterFrame
from caxton.protocol.frames import encode_frame

decode = msgspec.msgpack.Decoder(RouterFrame).decode


@contextmanager
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs.detach())
    try:
        yield ours, channel
    finally:
        ours.close()
        channel.socket.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Channel]]:
    with ends() as both:
        yield both


def received(channel: Channel) -> list[bytes]:
    found = []
    for body in channel.frames():
        frame = decode(body)
        assert isinstance(frame, HostReply)
        found.append(frame.data)
    return found


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_frames_come_whole_and_in_order(datas: list[bytes], cut: st.DataObject) -> None:
    stream = b"".join(encode_frame(HostReply(1, n, 0, data)) for n, data in enumerate(datas))
    found: list[bytes] = []
    with ends() as (ours, channel):
        while stream:
            size = cut.draw(st.integers(1, len(stream)))
            ours.sendall(stream[:size])
            stream = stream[size:]
            found += received(channel)
        assert found == datas
        assert not any(channel._buffer[:10_000])


def test_a_frame_larger_than_the_buffer_is_read_and_the_buffer_is_small_again(
    pair: tuple[socket.socket, Channel],
) -> None:
    ours, channel = pair
    ours.setblocking(False)
    data = bytes(range(1, 256)) * 4_000
    stream, found = (
        memoryview(encode_frame(HostReply(1, 1, 0, data)) + encode_frame(HostReply(1, 2, 0, b"after"))),
        [],
    )
    while len(found) < 2:
        if stream:
            try:
                stream = stream[ours.send(stream) :]
            except BlockingIOError:
                pass
        found += received(channel)
    assert found == [data, b"after"]
    assert len(channel._buffer) == READ_BYTES
    assert not any(channel._buffer)


def test_a_frame_that_nobody_may_send_is_refused(pair: tuple[socket.socket, Channel]) -> None:
    ours, channel = pair
    ours.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(CaxtonError):
        received(channel)


def test_the_other_end_goes_away(pair: tuple[socket.socket, Channel]) -> None:
    ours, channel = pair
    assert received(channel) == []
    ours.close()
    assert received(channel) == []
    assert channel.closed


def test_wiped_bytes_are_zeros_and_the_interpreters_own_are_left_alone() -> None:
    for size in (2, 3, 40, 5_000):
        data = bytes(bytearray(range(1, 7)) * size)[:size]
        wipe(data)
        assert data == bytes(size)
    for short in (b"", b"a"):
        wipe(short)
    assert bytes([97]) == b"a"
