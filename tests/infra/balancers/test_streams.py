"""What is not one short request: WebSockets, event streams, silence, slow clients, and large modules."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
import pytest

from support.balancers import Balancer, balancing
from support.stubs import Stub

PATIENCE = 2
"""Seconds of a node's silence that the balancer below allows."""


@pytest.fixture(scope="module")
def impatient(engine: str, nodes: dict[str, Stub]) -> Iterator[Balancer]:
    short = {
        "caxton_lb_timeout_server": PATIENCE,
        "caxton_lb_timeout_http_request": 2,
        "caxton_lb_timeout_tunnel": 30,
    }
    with balancing(engine, nodes, **short) as made:
        yield made


def connect(balancer: Balancer) -> ssl.SSLSocket:
    """A TLS connection without HTTP."""
    plain = socket.create_connection(("127.0.0.1", balancer.https), 20)
    return balancer.context().wrap_socket(plain, server_hostname="127.0.0.1")


def upgrade(connection: ssl.SSLSocket, path: str) -> bytes:
    """A WebSocket's handshake; the head of the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET {path} HTTP/1.1\r\nHost: caxton.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    accept = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert base64.b64encode(accept) in answer
    return answer


def echo(connection: ssl.SSLSocket, text: bytes) -> bytes:
    """One masked text frame there, one frame back."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    connection.sendall(bytes((0x81, 0x80 | len(text))) + mask + masked)
    back = b""
    while len(back) < 2 + len(text):
        back += connection.recv(200)
    return back[2:]


@pytest.mark.parametrize("path", ["/ws", "/api/v1/ws"])
def test_a_websocket_passes_and_may_be_silent_for_longer_than_a_node_otherwise(
    impatient: Balancer, path: str
) -> None:
    with connect(impatient) as connection:
        assert b" 101 " in upgrade(connection, path)
        assert echo(connection, b"one") == b"one"
        time.sleep(PATIENCE + 2)  # the silence itself is what is tested
        assert echo(connection, b"two") == b"two"


def test_only_a_request_that_asks_for_it_is_upgraded(impatient: Balancer) -> None:
    with impatient.client() as client:
        for _ in range(3):
            headers = client.get("/x").json()["headers"]
            assert "upgrade" not in headers
            assert "upgrade" not in headers.get("connection", "")


def test_events_arrive_one_by_one_and_longer_than_a_node_may_be_silent(impatient: Balancer) -> None:
    arrived: list[float] = []
    with impatient.client() as client, client.stream("GET", "/api/v1/events?every=0.5&count=12") as stream:
        for part in stream.iter_raw():
            arrived += [time.monotonic()] * (part.count(b"id: ") + part.count(b": alive"))
    assert len(arrived) == 12
    assert arrived[-1] - arrived[0] > PATIENCE * 2
    assert max(later - earlier for earlier, later in itertools.pairwise(arrived)) < 1.9, "not one by one"


def test_a_stream_that_falls_silent_is_ended(impatient: Balancer) -> None:
    """So it is the comments that keep the one above."""
    begun = time.monotonic()
    target = "/api/v1/events?every=0.1&count=2&quiet=15"
    with (
        impatient.client() as client,
        client.stream("GET", target) as stream,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        stream.read()
    assert PATIENCE - 0.5 < time.monotonic() - begun < 12


def test_a_node_that_says_nothing_is_given_up_and_not_asked_again(
    impatient: Balancer, nodes: dict[str, Stub]
) -> None:
    target = f"/slow?seconds=9&silent={impatient.https}"
    with impatient.client() as client:
        answer = client.post(target)
    assert answer.status_code in (503, 504)
    assert answer.json()["error"]["code"] == "UNREACHABLE"
    assert sum(stub.seen().count(f"begun {target}") for stub in nodes.values()) == 1


def test_a_client_that_waits_is_not_taken_for_one_that_is_gone(engine: str, nodes: dict[str, Stub]) -> None:
    """A request may take longer than a client may be silent while it sends."""
    with balancing(engine, nodes, caxton_lb_timeout_client=1) as balancer, balancer.client() as client:
        assert client.post("/slow?seconds=3").status_code == 200


def test_a_head_that_drips_is_ended(impatient: Balancer) -> None:
    begun = time.monotonic()
    with connect(impatient) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: caxton.test\r\n")
        ended = False
        while not ended and time.monotonic() - begun < 15:
            try:
                connection.sendall(b"X-Drip: 1\r\n")
                connection.settimeout(0.4)
                ended = connection.recv(4096) is not None
            except TimeoutError:
                continue
            except OSError:
                ended = True
    assert ended
    assert time.monotonic() - begun < 12


@pytest.mark.parametrize("chunked", [False, True])
def test_a_module_of_100_mb_arrives_whole(balancer: Balancer, chunked: bool) -> None:
    part, count = os.urandom(1_000_000), 104
    digest = hashlib.sha256(part * count).hexdigest()
    headers = {} if chunked else {"Content-Length": str(len(part) * count)}
    with balancer.client() as client:
        answer = client.post("/api/v1/agents", headers=headers, content=(part for _ in range(count)), timeout=90)
    assert answer.status_code == 200, answer.text
    assert answer.json()["body_bytes"] == len(part) * count
    assert answer.json()["body_sha256"] == digest
