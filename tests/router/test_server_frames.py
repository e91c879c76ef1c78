"""The router's socket: it answers or closes, whatever a client sends, and serves the others on."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import MAX_FRAME_BYTES, encode_frame
from caxton.protocol.operations import Call, Fail, Named, Reply
from caxton.router.connection import Operation, Sink
from caxton.router.server import Server
from support.router_client import RouterClient


class Node:
    """A real server on a loop of its own thread, with operations that need no store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cancelled = threading.Event()
        self.waiting = threading.Event()
        self.produced = 0
        self.loop = asyncio.new_event_loop()
        self.server = self._run(self._serve)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def _run(self, start: Callable[[], Any]) -> Any:
        return self.loop.run_until_complete(start())

    async def _serve(self) -> Server:
        decode = msgspec.msgpack.Decoder(Named).decode
        handlers = {"echo": self.echo, "wait": self.wait, "crash": self.crash, "flood": self.flood, "slow": self.slow}
        server = Server({name: Operation(decode, handler) for name, handler in handlers.items()})
        await server.start(self.path)
        return server

    async def echo(self, args: Named, sink: Sink, caller: Caller) -> Any:
        return args

    async def slow(self, args: Named, sink: Sink, caller: Caller) -> Any:
        await asyncio.sleep(float(args.name))
        return args

    async def wait(self, args: Named, sink: Sink, caller: Caller) -> Any:
        self.waiting.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()

    async def crash(self, args: Named, sink: Sink, caller: Caller) -> Any:
        raise RuntimeError("secret detail")

    async def flood(self, args: Named, sink: Sink, caller: Caller) -> Any:
        for self.produced in range(int(args.name)):
            await sink.put("x" * 65_536)
        return args

    def stop(self) -> None:
        async def end() -> None:
            await self.server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="cx") as directory:
        node = Node(Path(directory) / "router.sock")
        yield node
        node.stop()


def test_answers_come_in_any_order_on_one_connection(node: Node) -> None:
    with RouterClient(node.path) as client:
        slow = client.send("slow", Named("0.2"))
        quick = client.send("slow", Named("0"))
        assert [client.receive().call_id, client.receive().call_id] == [quick, slow]


def test_the_socket_is_for_owner_and_group_only(node: Node) -> None:
    assert node.path.stat().st_mode & 0o777 == 0o660


def test_an_unexpected_exception_is_an_internal_error_without_internals(node: Node) -> None:
    with RouterClient(node.path) as client:
        with pytest.raises(CaxtonError) as caught:
            client.call("crash", Named(""))
        assert caught.value.code is Code.INTERNAL_ERROR
        assert len(caught.value.details["trace_id"]) == 32
        assert "secret" not in str(caught.value.body())


@pytest.mark.parametrize(
    ("op", "args"), [("nothing-like-this", Named("a")), ("echo", [1, 2]), ("echo", {"name": 7}), ("echo", {})]
)
def test_an_unknown_operation_or_wrong_arguments_fail_and_the_connection_lives_on(
    node: Node, op: str, args: object
) -> None:
    with RouterClient(node.path) as client:
        with pytest.raises(CaxtonError) as caught:
            client.call(op, args)
        assert caught.value.code is Code.INVALID_REQUEST
        assert client.call("echo", Named("still here")) == {"name": "still here"}


def test_hanging_up_ends_the_call(node: Node) -> None:
    node.cancelled.clear()
    node.waiting.clear()
    with RouterClient(node.path) as client:
        call = client.send("wait", Named(""))
        assert node.waiting.wait(10)
        client.hang_up(call)
        assert node.cancelled.wait(10)
        assert client.call("echo", Named("a")) == {"name": "a"}


def test_a_client_that_goes_away_ends_its_calls(node: Node) -> None:
    node.cancelled.clear()
    node.waiting.clear()
    with RouterClient(node.path) as client:
        client.send("wait", Named(""))
        assert node.waiting.wait(10)
    assert node.cancelled.wait(10)


def test_one_call_id_cannot_be_used_twice_at_a_time(node: Node) -> None:
    with RouterClient(node.path) as client:
        body = msgspec.msgpack.encode(Named(""))
        client.socket.sendall(encode_frame(Call(7, "wait", body)) * 2)
        with pytest.raises(EOFError):
            client.receive()


def test_a_client_that_does_not_read_stops_its_own_stream_only(node: Node) -> None:
    with RouterClient(node.path) as slow, RouterClient(node.path) as good:
        slow.send("flood", Named("4000"))  # 250 MB, far over every buffer
        for number in range(200):
            assert good.call("echo", Named(str(number))) == {"name": str(number)}
        stood_at = node.produced
        assert 0 < stood_at < 1000
        seen = 0
        while not isinstance(slow.receive(), Reply):
            seen += 1
        assert seen == 4000


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", MAX_FRAME_BYTES + 1),
        struct.pack("<I", 3) + b"\xc1\xc1\xc1",
        encode_frame([9, 1, "echo", b""]),
        encode_frame([1, "one", "echo", b""]),
        encode_frame([1, 1]),
        encode_frame({"call": 1}),
        struct.pack("<I", 0),
    ],
    ids=["too large", "not msgpack", "unknown tag", "wrong type", "too short", "a map", "empty"],
)
def test_a_malformed_frame_closes_the_connection(node: Node, data: bytes) -> None:
    with RouterClient(node.path) as client:
        client.socket.sendall(data)
        with pytest.raises(EOFError):
            client.receive()
    with RouterClient(node.path) as client:
        assert client.call("echo", Named("a")) == {"name": "a"}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
frames = st.one_of(
    st.binary(max_size=64),
    values.map(encode_frame),
    st.tuples(st.sampled_from([0, 1, 2, 3]), st.integers(-1, 3), st.sampled_from(["echo", "crash", ""]), values).map(
        encode_frame
    ),
    st.builds(Call, st.integers(0, 5), st.sampled_from(["echo", "crash", "no"]), st.binary(max_size=32)).map(
        encode_frame
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(frames, min_size=1, max_size=8), st.integers(0, 200))
def test_any_bytes_are_answered_or_end_the_connection(node: Node, sent: list[bytes], cut: int) -> None:
    data = b"".join(sent)
    with RouterClient(node.path, timeout=10) as client, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        client.socket.sendall(data[: len(data) - cut] if cut < len(data) else data)
        client.socket.shutdown(socket.SHUT_WR)
        while True:  # a TimeoutError is the failure: neither answered nor closed
            assert isinstance(client.receive(), Reply | Fail)
    with RouterClient(node.path) as client:
        assert client.call("echo", Named("alive")) == {"name": "alive"}


def test_a_second_server_does_not_take_a_live_socket_and_takes_a_dead_one(tmp_path: Path) -> None:
    async def scene() -> None:
        with tempfile.TemporaryDirectory(prefix="cx") as directory:
            path = Path(directory) / "router.sock"
            dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            dead.bind(str(path))
            dead.close()
            first, second = Server({}), Server({})
            await first.start(path)
            with pytest.raises(CaxtonError) as caught:
                await second.start(path)
            assert caught.value.code is Code.CONFLICT
            assert path.exists()
            await first.close()
            assert not path.exists()

    asyncio.run(scene())


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = Path(tempfile.mkdtemp(prefix="cx")) / "router.sock"
    path.write_text("mine")
    with pytest.raises(CaxtonError) as caught:
        asyncio.run(Server({}).start(path))
    assert caught.value.code is Code.CONFLICT
    assert path.read_text() == "mine"
    path.unlink()
    os.rmdir(path.parent)


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaxtonError) as caught:
        asyncio.run(Server({}).start(tmp_path / ("x" * 120)))
    assert caught.value.code is Code.CONFIG_INVALID
