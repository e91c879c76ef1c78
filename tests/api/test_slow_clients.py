from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from api.conftest import brief_node
from api.raw import Connection, post

from support.node import Node, until


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


def test_a_websocket_is_asked_whether_anybody_is_there_and_ended_if_not(hasty: Node) -> None:
    handshake = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    log_in = b'{"type":"auth"}'
    with Connection(hasty) as connection:
        connection.send(handshake + bytes((0x81, 0x80 | len(log_in))) + bytes(4) + log_in)  # masked with zeros
        heard = b""
        while piece := connection.sock.recv(4096):
            heard += piece
    assert b'"type":"welcome"' in heard
    assert heard.endswith(b"\x89\x00")  # one ping, and no goodbye to who is not there


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


def test_a_head_that_does_not_end_is_cut_before_it_fills_memory(hasty: Node) -> None:
    with Connection(hasty) as connection:
        connection.send(b"GET /health HTTP/1.1\r\n" + b"".join(b"H%d: %b\r\n" % (n, b"x" * 4000) for n in range(99)))
        answer = connection.read()
        assert (answer.status, answer.code()) == (431, "HEADERS_TOO_LARGE")
        assert connection.closed()


def test_what_a_request_left_unread_is_no_head_of_the_next(hasty: Node) -> None:
    with Connection(hasty) as connection:
        for _ in range(3):
            connection.send(post("/api/v1/nowhere", "Content-Length: 60000") + b"x" * 60_000)
            assert connection.read().status == 404
        connection.send(b"GET /health HTTP/1.1\r\n" + b"H: %b\r\n" % (b"x" * 8000) * 7 + b"\r\n")
        assert connection.read().status == 200


def test_who_does_not_take_the_answer_is_ended(hasty: Node) -> None:
    """More than the kernel's buffers hold, asked for again and again, and never read."""
    request = b"GET /api/v1/openapi.json HTTP/1.1\r\n\r\n"
    with Connection(hasty) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request * 400)
        (worker,) = hasty.gunicorn("api")[1]
        until(lambda: not connected(worker, connection), 20, "the server has closed its end")


def connected(worker: int, connection: Connection) -> bool:
    """Whether a process still has its end of this connection."""
    port = connection.sock.getsockname()[1]
    lines = Path(f"/proc/{worker}/net/tcp").read_text().splitlines()[1:]
    found = {line.split()[9] for line in lines if int(line.split()[2].rpartition(":")[2], 16) == port}
    held = {os.readlink(one) for one in Path(f"/proc/{worker}/fd").iterdir() if one.is_symlink()}
    return any(f"socket:[{inode}]" in held for inode in found if inode != "0")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"])
@pytest.mark.parametrize("path", ["/api/v1/agents/a/invoke", "/api/v1/messages", "/api/v1/agents"])
def test_a_compressed_body_is_refused_unread(hasty: Node, path: str, coding: str) -> None:
    with Connection(hasty) as connection:
        connection.send(post(path, f"Content-Encoding: {coding}", "Content-Length: 60000000"))
        answer = connection.read()  # of a body that never comes
        assert (answer.status, answer.code()) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert connection.closed()


def test_a_body_is_not_read_of_who_has_no_credentials(guarded: Node) -> None:
    for path in ("/api/v1/messages", "/api/v1/agents"):
        with Connection(guarded) as connection:
            connection.send(post(path, "Content-Length: 64000000", "Expect: 100-continue"))
            answer = connection.read()
            assert (answer.status, answer.code()) == (401, "UNAUTHORIZED")  # and never 100
            assert connection.closed()


def test_pipelined_requests_wait_their_turn(hasty: Node) -> None:
    count = 300
    with Connection(hasty) as flood, Connection(hasty) as other:
        flood.send(b"GET /health HTTP/1.1\r\n\r\n" * count)
        other.send(b"GET /health HTTP/1.1\r\n\r\n")
        assert other.read().status == 200
        assert [flood.read().status for _ in range(count)] == [200] * count


MOST = 5


@pytest.fixture(scope="module")
def crowded() -> Iterator[Node]:
    """A node where one address has few connections; 127.0.0.9 is a balancer."""
    networking = {"max_connections_per_address": MOST}
    with brief_node(networking=networking, security={"trusted_proxies": ["127.0.0.9"]}) as made:
        yield made


def connect(node: Node, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), 20, source_address=(source, 0))


def healthy(sock: socket.socket) -> bool:
    sock.sendall(b"GET /health HTTP/1.1\r\n\r\n")
    return sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_address_has_so_many_connections_and_others_do_not_notice(crowded: Node) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(crowded, "127.0.0.2")) for _ in range(MOST)]
        assert all(healthy(one) for one in held)
        with connect(crowded, "127.0.0.2") as refused:
            text = refused.recv(65536)
            assert text.startswith(b"HTTP/1.1 429 ")
            assert b"RATE_LIMITED" in text
            assert refused.recv(1) == b""
        with connect(crowded, "127.0.0.3") as other:
            assert healthy(other)
        held.pop().close()

        def again() -> bool:
            with connect(crowded, "127.0.0.2") as one, suppress(OSError):
                return healthy(one)
            return False

        until(again, 10, "there is room for one more")


def test_a_balancer_has_as_many_as_it_needs(crowded: Node) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(crowded, "127.0.0.9")) for _ in range(4 * MOST)]
        assert all(healthy(one) for one in held)
