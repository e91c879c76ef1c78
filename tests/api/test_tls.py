"""TLS on the API's address: versions, ciphers, both lanes, and what becomes of those who speak something else."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from api.raw import Connection
from api.test_fast_lane import request
from api.tls_nodes import encrypted, handshake, old_version

from support.authority import Authority
from support.node import Node, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Iterator[Node]:
    with encrypted(authority, authority.issue("node"), connection_timeout="2s", max_connections=1000) as made:
        yield made


def said(client: Connection) -> object:
    """What the agent answered to the next request."""
    return json.loads(client.read().body)["content"]["content"]


def test_requests_on_both_lanes(node: Node) -> None:
    with Connection(node) as client:
        for headers in ([], ["TE: trailers"], [], ["X-Forwarded-Host: a"], []):
            client.send(request("a", *headers))
            assert said(client) == "a"


def test_pipelined_requests_in_one_record_and_a_body_over_many(node: Node) -> None:
    large = "x" * 300_000
    with Connection(node) as client:
        client.send(request("a") + request("b") + request(large) + request("c"))
        assert [said(client) for _ in range(4)] == ["a", "b", large, "c"]


def test_a_record_that_comes_in_pieces(node: Node, authority: Authority) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", node.port), 10) as plain:
        _drive(tls.do_handshake, plain, incoming, outgoing)
        tls.write(request("pieces"))
        record = outgoing.read()
        for begin in range(0, len(record), 40):
            plain.sendall(record[begin : begin + 40])
        answer = _drive(lambda: tls.read(65536), plain, incoming, outgoing)
    assert answer.startswith(b"HTTP/1.1 200 OK")


def _drive(step, plain: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO):  # type: ignore[no-untyped-def]  # whatever the step gives
    while True:
        try:
            done = step()
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65536))
            continue
        plain.sendall(outgoing.read())
        return done


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(node: Node, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with handshake(node, context) as connection:
        assert connection.version() == version.name.replace("_", ".")
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.compression() is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(node: Node, authority: Authority, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = old_version(authority, version)
    with pytest.raises(ssl.SSLError) as refused:
        handshake(node, context)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize(
    "ciphers", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256", "ECDHE-ECDSA-NULL-SHA"]
)
def test_weak_suites_are_refused(node: Node, authority: Authority, ciphers: str) -> None:
    context = old_version(authority, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError) as refused:
        handshake(node, context)
    assert refused.value.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"


def test_a_client_that_speaks_plain_http_is_told(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 10) as client:
        client.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'"code":"INVALID_REQUEST"' in answer


def test_an_ended_connection_says_that_nothing_was_cut_off(node: Node, authority: Authority) -> None:
    with handshake(node, authority.context()) as connection:
        connection.suppress_ragged_eofs = False  # an end without close_notify is an error then
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 200 OK")


def descriptors(node: Node) -> int:
    """Files that the API's workers have open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in node.gunicorn("api")[1])


def test_handshakes_that_never_end_hold_nothing(node: Node, authority: Authority) -> None:
    before = descriptors(node)
    hello = ssl.MemoryBIO()
    tls = authority.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    opening = hello.read()
    with ExitStack() as stack:
        clients = []
        for number in range(300):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 20))
            client.sendall(
                opening[: (0, 1, 60, len(opening))[number % 4]]
            )  # nothing, a byte, a part, all and no more
            clients.append(client)
        until(lambda: descriptors(node) >= before + 300, 20, "all are there")
        assert node.invoke("echo", "meanwhile").status_code == 200
        for client in clients:
            while client.recv(65536):  # until the node ends it; 20 s would fail
                pass
        until(lambda: descriptors(node) <= before + 2, 20, "nothing is left of them")


def test_a_handshake_that_drips_gets_no_more_time(node: Node, authority: Authority) -> None:
    hello = ssl.MemoryBIO()
    tls = authority.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(("127.0.0.1", node.port), 20) as client:
        client.settimeout(0.2)
        for byte in hello.read():  # more than 500 bytes: 100 s at this pace
            try:
                client.sendall(bytes([byte]))
                if client.recv(65536) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    raise AssertionError("the whole hello was waited for")


def test_a_scrape_says_when_the_certificate_ends(node: Node) -> None:
    text = httpx.get(f"{node.metrics_url}/metrics").text
    said = re.search(r"^caxton_tls_certificate_expiry_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert said is not None
    assert 19 < (float(said[1]) - time.time()) / 86_400 < 21
