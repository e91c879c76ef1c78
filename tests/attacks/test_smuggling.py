"""Requests that two readers could take for different ones: what no client asked for never reaches a node.

Real HAProxy and nginx as the role sets them up, before a real node; a tap between them keeps what the balancer sends.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from attacks.tap import Tap

from support import balancers, wat
from support.balancers import Balancer, balancing
from support.node import Node, running_node

pytestmark = pytest.mark.timeout(300)
OURS = "X-FORWARDED-FOR"
"""Every request that a balancer knows of carries it; one that was smuggled in a body does not."""
HEAD = b"POST /api/v1/messages HTTP/1.1\r\nHost: caxton.test\r\nContent-Type: application/json\r\n"


class World(NamedTuple):
    """A node behind a balancer, and what passes between them."""

    balancer: Balancer
    tap: Tap
    node: Node


@pytest.fixture(scope="module", params=["haproxy", "nginx"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if lacking := balancers.missing(request.param):
        pytest.skip(lacking)
    security = {"auth_enabled": False, "trusted_proxies": ["127.0.0.1"], "cors_origins": ["https://caxton.test"]}
    with running_node(security=security) as node:
        node.deploy("echo", wat.ECHO)
        tap = Tap(node.port)
        with balancing(request.param, {"node1": tap.port}) as balancer:
            yield World(balancer, tap, node)
        tap.close()


def hidden(message_id: str) -> bytes:
    """The request that an attacker would like the node to take for another client's."""
    text = json.dumps({"performative": "inform", "receiver": "echo", "message_id": message_id}).encode()
    return HEAD + b"X-Hidden: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


def chunked(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n0\r\n\r\n" % (len(data), extension, data)


ENCODINGS = [
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: cow",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer-encoding: identity\r\nTransfer-Encoding: chunked",
    b"X: x\nTransfer-Encoding: chunked",
    b"X: x\r\n Transfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked\x00",
    b'Transfer-Encoding: "chunked"',
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"TRANSFER-ENCODING: CHUNKED",
    b"Transfer-Encoding: chunked;q=1",
    b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    b"Connection: Content-Length\r\nTransfer-Encoding: chunked",
]
LENGTHS = [
    b"Content-Length: %d\r\nContent-Length: 0",
    b"Content-Length: 0\r\nContent-Length: %d",
    b"Content-Length: +%d",
    b"Content-Length: %d, 0",
    b"Content-Length: 0, %d",
    b"Content-Length: %d abc",
    b"Content-Length : %d",
    b"Content-Length: \x0b%d",
    b"Content-Length: 0x%x",
    b"Content-Length: -%d",
    b"Content-Length: 0%d",
    b"Content-Length: \xb2%d",
    b"Content_Length: %d",
    b"Content-Length:\r\n %d",
    b"X: y\rContent-Length: %d",
    b"Expect: 100-continue\r\nContent-Length: %d",
    b"Expect: 200-ok\r\nContent-Length: %d",
    b"Connection: Content-Length\r\nContent-Length: %d",
]


def attacks(message_id: str) -> list[bytes]:
    """Whole connections. In each a request is hidden in what at least one reading takes for a body."""
    inner = hidden(message_id)
    found = []
    for encoding in ENCODINGS:
        body = chunked(inner)
        found.append(HEAD + encoding + b"\r\nContent-Length: %d\r\n\r\n" % body.index(inner) + body)  # TE.CL
        found.append(HEAD + b"Content-Length: 4\r\n" + encoding + b"\r\n\r\n" + body)
        found.append(HEAD + encoding + b"\r\n\r\n" + body)
    found += [HEAD + length % len(inner) + b"\r\n\r\n" + inner for length in LENGTHS]
    for extension in (b";a=b", b";\n", b";a\rb", b" ", b"\t;x", b";" + b"a" * 20_000, b"\n", b";\x00"):
        found.append(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(inner, extension))
    for size in (b"0x10", b"+10", b"-1", b"1_0", b"ffffffffffffffff1", b" 10", b"10 ", b"G"):
        found.append(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + inner + b"\r\n0\r\n\r\n")
    trailers = b"0\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
    found += [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(inner), inner) + trailers,
        b"GET /api/v1/ledger HTTP/1.1\r\nHost: caxton.test\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        b"GET /health HTTP/1.1\r\nHost: caxton.test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(inner),
        b"GET /health HTTP/1.1\r\nHost: caxton.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        b"GET /api/v1/ws HTTP/1.1\r\nHost: caxton.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 777\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        HEAD.replace(b"1.1", b"1.0")
        + b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
        + chunked(inner),
        HEAD.replace(b"1.1", b"1.2") + b"Content-Length: %d\r\n\r\n" % len(inner) + inner,
        HEAD.replace(b"\r\n", b"\n") + b"Content-Length: %d\n\n" % len(inner) + inner,
        HEAD.replace(b"\r\n", b"\r") + b"Content-Length: %d\r\r" % len(inner) + inner,
        HEAD.replace(b"/api", b"http://evil.example/api") + b"Content-Length: %d\r\n\r\n" % len(inner) + inner,
        HEAD.replace(b" HTTP/1.1", b" HTTP/1.1\r\nX: y HTTP/1.1")
        + b"Content-Length: %d\r\n\r\n" % len(inner)
        + inner,
        HEAD.replace(b"messages", b"messages\xc4\x8d\xc4\x8aX:") + b"Content-Length: %d\r\n\r\n" % len(inner) + inner,
        HEAD + b"X: \x00\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        HEAD + b"X: a\rb\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        HEAD + b": x\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
    ]
    return found


def test_a_request_hidden_in_a_body_is_nobodys(world: World) -> None:
    ids = [str(uuid.uuid4()) for _ in attacks("")]
    with httpx.Client(base_url=world.balancer.url, verify=world.balancer.context(), timeout=30) as victim:
        for index, message_id in enumerate(ids):
            payload = attacks(message_id)[index]
            with raw(world.balancer) as attacker:
                with contextlib.suppress(OSError):
                    attacker.sendall(payload)
                for turn in range(2):  # connections to the node are shared: whoever comes next would get it
                    mark = f"{index}-{turn}"
                    answer = victim.post("/api/v1/agents/echo/invoke", json={"content": mark})
                    assert answer.status_code == 200, (payload[:300], answer.text)
                    assert answer.json()["content"]["content"] == mark, payload[:300]
    seen = world.tap.requests()
    assert len(seen) > 2 * len(ids)
    foreign = [request for request in seen if OURS not in dict(request.headers)]
    assert {(request.method, request.path) for request in foreign} <= {("GET", "/ready")}  # the balancer's own check
    own = [request.sent for request in seen if request.path == "/api/v1/messages" and request.sent.startswith(b"{")]
    taken = {json.loads(text)["message_id"] for text in own}
    for message_id in ids:
        if message_id not in taken:  # what came as a request's own body was the attacker's to send
            assert world.node.client.get(f"/api/v1/messages/{message_id}").status_code == 404


def test_pipelined_requests_of_one_client_stay_in_order(world: World) -> None:
    def ask(mark: str) -> bytes:
        body = json.dumps({"content": mark}).encode()
        head = HEAD.replace(b"messages", b"agents/echo/invoke")
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body

    with raw(world.balancer) as client:
        client.sendall(b"".join(ask(f"mark-{number}") for number in range(5)))
        data = b""
        while data.count(b"HTTP/1.1 200") < 5 or b"mark-4" not in data:
            data += (received := client.recv(65536))
            assert received, data
    assert [data.index(b"mark-%d" % number) for number in range(5)] == sorted(
        data.index(b"mark-%d" % number) for number in range(5)
    )


@pytest.mark.parametrize("path", ["/api/v1/admin/keys", "/api/v1/admin/config", "/metrics", "/api/v1/admin/pause"])
@pytest.mark.parametrize("prefix", ["", "/", "/x/..", "/%2e", "/api/v1/..%2f.."])
def test_administration_and_metrics_are_not_behind_a_balancer(world: World, path: str, prefix: str) -> None:
    admin = world.node.settings["networking"]["admin_address"]
    for host in ("caxton.test", admin, "127.0.0.1:8081"):
        with raw(world.balancer) as client:
            head = f"POST {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Port: {admin.rpartition(':')[2]}\r\n"
            client.sendall(head.encode() + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            status = int(drain(client).split()[1])
        assert status in (400, 404, 405, 421), (status, host, prefix + path)


@contextlib.contextmanager
def raw(balancer: Balancer) -> Iterator[socket.socket]:
    """A TLS connection of its own that negotiates no protocol."""
    plain = socket.create_connection(("127.0.0.1", balancer.https), 20)
    with balancer.context().wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        yield connection


def drain(connection: socket.socket) -> bytes:
    """What the server says until it says no more for a moment or ends the connection."""
    data = b""
    with contextlib.suppress(OSError, ssl.SSLError):
        connection.settimeout(1.0 if b"close" not in data else 20)
        while received := connection.recv(65536):
            data += received
            connection.settimeout(0.3)
    return data
