from __future__ import annotations

import json
import time

from api.raw import Connection

from caxton.api.lane import BODY_SECONDS
from caxton.api.plain import BODY_BYTES
from support.node import Node

LONGER = 2 * BODY_SECONDS


def request(content: object, *headers: str, agent: str = "echo") -> bytes:
    """A POST that invokes an agent."""
    body = json.dumps({"content": content}).encode()
    lines = [f"POST /api/v1/agents/{agent}/invoke HTTP/1.1", "Host: a", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def test_plain_and_unusual_requests_on_one_connection(node: Node) -> None:
    with Connection(node) as client:
        for headers in ([], ["X-Forwarded-Host: a"], [], [], ["TE: trailers"], []):
            client.send(request("a", *headers))
            answer = client.read()
            assert answer.status == 200
            assert answer.headers["connection"] == "keep-alive"
        client.send(request("a", "Connection: close"))
        assert client.read().headers["connection"] == "close"
        assert client.closed()


def test_pipelined_requests_are_answered_in_order(node: Node) -> None:
    names = ["echo", "nobody", "echo", "nobody", "nobody", "echo"]
    with Connection(node) as client:
        client.send(b"".join(request("a", agent=name) for name in names))
        assert [client.read().status for _ in names] == [200 if name == "echo" else 404 for name in names]


def test_a_body_that_comes_in_pieces(node: Node) -> None:
    with Connection(node) as client:
        for wait in (0.0, LONGER):
            for at in (-1, -5):
                data = request("pieces")
                client.send(data[:at])
                time.sleep(wait)  # the pause is what is tested
                client.send(data[at:])
                assert client.read().status == 200


def test_a_head_that_comes_in_pieces(node: Node) -> None:
    data = request("pieces")
    with Connection(node) as client:
        for at in (1, 10, data.index(b"\r\n\r\n") + 2):
            client.send(data[:at])
            time.sleep(0.05)  # the pause is what is tested
            client.send(data[at:])
            assert client.read().status == 200


def test_large_bodies(node: Node) -> None:
    with Connection(node) as client:
        for size in (60_000, 70_000, BODY_BYTES - 100, BODY_BYTES + 100):
            client.send(request("x" * size))
            assert client.read().status == 200


def test_a_client_that_ends_within_a_body(node: Node) -> None:
    with Connection(node) as client:
        client.send(request("cut")[:-3])
        client.sock.shutdown(1)
        assert client.read().status == 400
        assert client.closed()
