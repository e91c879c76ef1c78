from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from api.conftest import brief_node
from api.raw import Connection, post

from support.node import Node


@pytest.fixture(scope="module")
def hasty() -> Iterator[Node]:
    """A node with short deadlines."""
    times = {"connection_timeout": "700ms", "request_timeout": "700ms", "keepalive_timeout": "1s"}
    with brief_node(networking=times) as made:
        yield made


def drip(connection: Connection, piece: Callable[[int], bytes], seconds: float = 10) -> float:
    """Sends a piece each 0.1 s until the server has something to say; how long that took."""
    started = time.monotonic()
    connection.sock.settimeout(0.1)
    count = 0
    while time.monotonic() - started < seconds:
        try:
            connection.send(piece(count))
            data = connection.sock.recv(65536)
        except TimeoutError:
            count += 1
            continue
        except ConnectionError:
            data = b""
        connection.rest += data
        connection.sock.settimeout(5)
        return time.monotonic() - started
    raise AssertionError("the connection was never ended")


def test_dripping_headers_are_ended(hasty: Node) -> None:
    with Connection(hasty) as connection:
        connection.send(b"GET /health HTTP/1.1\r\nA: ")
        assert 0.5 < drip(connection, lambda _: b"x") < 3
        answer = connection.read()
        assert (answer.status, answer.code()) == (408, "REQUEST_TIMEOUT")
        assert connection.closed()


def test_dripping_headers_on_a_used_connection_are_ended(hasty: Node) -> None:
    with Connection(hasty) as connection:
        connection.send(b"GET /health HTTP/1.1\r\n\r\n")
        assert connection.read().status == 200
        connection.send(b"GET /health HTTP/1.1\r\nA: ")
        assert 0.5 < drip(connection, lambda _: b"x") < 3
        assert connection.read().status == 408


@pytest.mark.parametrize("path", ["/api/v1/agents/a/invoke", "/api/v1/messages", "/api/v1/agents"])
@pytest.mark.parametrize(
    ("header", "piece"),
    [("Content-Length: 1000", lambda _: b" "), ("Transfer-Encoding: chunked", lambda n: b"1\r\n \r\n")],
    ids=["length", "chunked"],
)
def test_a_dripping_body_is_ended(hasty: Node, path: str, header: str, piece: Callable[[int], bytes]) -> None:
    with Connection(hasty) as connection:
        connection.send(post(path, header))
        assert 0.5 < drip(connection, piece) < 4
        answer = connection.read()
        assert (answer.status, answer.code()) == (408, "REQUEST_TIMEOUT")
        assert connection.closed()


def test_a_silent_connection_is_ended(hasty: Node) -> None:
    with Connection(hasty) as connection:
        started = time.monotonic()
        assert connection.closed()
        assert 0.5 < time.monotonic() - started < 3


def test_an_idle_connection_is_ended(hasty: Node) -> None:
    with Connection(hasty) as connection:
        connection.send(b"GET /health HTTP/1.1\r\n\r\n")
        assert connection.read().status == 200
        started = time.monotonic()
        assert connection.closed()
        assert 0.5 < time.monotonic() - started < 3


def test_slow_clients_do_not_hold_up_others(hasty: Node) -> None:
    slow = [Connection(hasty) for _ in range(200)]
    try:
        for connection in slow:
            connection.send(b"GET /health HTTP/1.1\r\nA: ")
        with Connection(hasty) as quick:
            started = time.monotonic()
            quick.send(b"GET /health HTTP/1.1\r\n\r\n")
            assert quick.read().status == 200
            assert time.monotonic() - started < 0.5
    finally:
        for connection in slow:
            connection.sock.close()
