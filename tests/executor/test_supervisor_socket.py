"""The executor's socket: one supervisor, one router, no patience for nonsense."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.protocol.agents import Profile
from caxton.protocol.control import Prepare, SpawnWorker
from caxton.protocol.frames import encode_frame
from support.executor_node import ExecutorNode, eventually


@pytest.fixture(scope="module")
def node() -> Iterator[ExecutorNode]:
    with ExecutorNode() as running:
        yield running


def closes(connection: socket.socket) -> bool:
    """Whether the supervisor closes the connection (within the socket's time-out)."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_the_socket_is_for_owner_and_group(node: ExecutorNode) -> None:
    assert stat.S_IMODE(node.socket.stat().st_mode) == 0o660


def test_a_second_supervisor_is_refused(node: ExecutorNode) -> None:
    second = node.launch()
    _, stderr = second.communicate(timeout=30)
    assert second.returncode == 1
    assert str(node.socket).encode() in stderr
    assert b"Traceback" not in stderr


def test_a_dead_socket_is_removed() -> None:
    with ExecutorNode() as node:
        node.end(signal.SIGKILL)
        assert node.socket.exists()
        node.process = node.launch()
        eventually(node.answers, "the new one listens")
        assert node.router().hello(1)


def test_a_second_router_is_refused_while_the_first_lives(node: ExecutorNode) -> None:
    first = node.router()
    (worker,) = first.hello(1)
    second = node.router()
    assert closes(second.socket)
    first.send(SpawnWorker("still-served"))
    assert first.worker("still-served").pid != worker.pid
    first.close()


def test_a_router_that_starts_without_hello_is_refused(node: ExecutorNode) -> None:
    router = node.router()
    router.send(SpawnWorker("x"))
    assert closes(router.socket)


def test_a_frame_without_its_descriptor_ends_the_connection(node: ExecutorNode) -> None:
    router = node.router()
    router.hello(0)
    router.send(Prepare(1, "0" * 64, Profile.STANDARD))
    assert closes(router.socket)


@settings(max_examples=25, deadline=None)
@given(body=st.binary(max_size=60), framed=st.booleans())
def test_nonsense_ends_the_connection_and_nothing_else(node: ExecutorNode, body: bytes, framed: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(node.socket))
        data = len(body).to_bytes(4, "little") + body if framed else b"\xff\xff\xff\xff" + body
        connection.sendall(data + encode_frame("not a frame of ours"))
        assert closes(connection)
    assert os.path.exists(f"/proc/{node.process.pid}")


def test_the_supervisor_imports_no_engine(node: ExecutorNode) -> None:
    with open(f"/proc/{node.process.pid}/maps") as maps:
        assert "wasmtime" not in maps.read()
