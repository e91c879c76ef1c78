"""Whose word about the client counts: that of trusted proxies, on every way through the server alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api.conftest import brief_node, furnished
from api.raw import Connection

from caxton.api.proxies import Proxies
from support.credentials import GUARDED, KEY_HEADER
from support.node import Node, until

OWN = ["10.0.0.0/8", "2001:db8:aaaa::/48", "127.0.0.1"]
_numbers = itertools.count(1)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the left one is only a claim
        ("10.0.0.1", "203.0.113.9, 10.0.0.7,10.0.0.8", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.7", "10.0.0.7"),  # a client inside of the proxies' own network
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),  # not a proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, junk, 10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "203.0.113.9,,", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "203.0.113.9:x", "10.0.0.1"),
        ("2001:db8:aaaa::1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", ""),
        ("10.0.0.1", ",".join(["203.0.113.9"] + ["10.0.0.2"] * 500), "10.0.0.2"),
        ("10.0.0.1", "203.0.113.9\x00, ' OR 1=1", "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_not_a_proxys(peer: str, forwarded: str, client: str) -> None:
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    Proxies(OWN).apply(environ)
    assert (environ["REMOTE_ADDR"], environ["caxton.peer"]) == (client, peer)


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "HTTPS", "https"),
        ("10.0.0.1", "http,https", "https"),
        ("10.0.0.1", "https, http", "http"),
        ("10.0.0.1", "gopher", "http"),
        ("10.0.0.1", "", "http"),
        ("203.0.113.5", "https", "http"),
    ],
)
def test_the_scheme_that_the_nearest_proxy_says(peer: str, said: str, scheme: str) -> None:
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": said}
    Proxies(OWN).apply(environ)
    assert environ["wsgi.url_scheme"] == scheme


DEBUG = {"observability": {"log_level": "debug", "log_format": "json"}}


@pytest.fixture(scope="module")
def behind() -> Iterator[Node]:
    """A node that believes proxies on this host."""
    with furnished(security={"auth_enabled": False, "trusted_proxies": ["127.0.0.0/8"]}, **DEBUG) as made:
        yield made


@pytest.fixture(scope="module")
def exposed() -> Iterator[Node]:
    """A node that believes nobody."""
    with furnished(**DEBUG) as made:
        yield made


def lane(node: Node, headers: list[str]) -> None:
    """Plain: the fast lane's."""
    _raw(node, "POST /api/v1/agents/echo/invoke HTTP/1.1", headers)


def short_cut(node: Node, headers: list[str]) -> None:
    """Through gunicorn, in front of Flask."""
    _raw(node, "POST /api/v1/agents/echo/invoke HTTP/1.1", ["TE: trailers", *headers])


def flask(node: Node, headers: list[str]) -> None:
    _raw(node, "GET /api/v1/agents HTTP/1.1", headers)


def _raw(node: Node, line: str, headers: list[str]) -> None:
    body = "{}" if line.startswith("POST") else ""
    head = [line, "Host: a", "Content-Type: application/json", *headers, f"Content-Length: {len(body)}"]
    with Connection(node) as client:
        client.send(("\r\n".join([*head, "", ""]) + body).encode())
        assert client.read().status == 200


def seen(node: Node, send: Callable[[Node, list[str]], None], *headers: str) -> tuple[str, str]:
    """Client and scheme as the node's log has them for this request."""
    name = f"request-{next(_numbers)}"
    send(node, [*headers, f"X-Request-Id: {name}"])

    def line() -> Any:
        found = [line for line in node.log.read_text().splitlines() if f'"{name}"' in line]
        return json.loads(found[0]) if found else None

    logged = until(line, 10, "a line in the log")
    return logged["client"], logged["scheme"]


WAYS = pytest.mark.parametrize("send", [lane, short_cut, flask])


@WAYS
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"], ("203.0.113.9", "https")),
        (["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 203.0.113.9"], ("203.0.113.9", "http")),
        (["X-Forwarded-For: 203.0.113.9, 127.0.0.2"], ("203.0.113.9", "http")),
        (["X-Forwarded-For: <script>"], ("127.0.0.1", "http")),
        (["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"], ("127.0.0.1", "https")),
        (["X_Forwarded_For: 203.0.113.9", "Script_Name: /api"], ("127.0.0.1", "http")),
        ([], ("127.0.0.1", "http")),
    ],
)
def test_a_trusted_proxy_is_believed_on_every_way(
    behind: Node, send: Callable[[Node, list[str]], None], headers: list[str], expected: tuple[str, str]
) -> None:
    assert seen(behind, send, *headers) == expected


@WAYS
def test_nobody_is_believed_where_nobody_is_trusted(exposed: Node, send: Callable[[Node, list[str]], None]) -> None:
    assert seen(exposed, send, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https") == ("127.0.0.1", "http")


def test_refused_credentials_are_logged_with_the_client_and_without_the_credentials() -> None:
    security = {**GUARDED, "trusted_proxies": ["127.0.0.1"]}
    with brief_node(security=security, observability={"log_format": "json"}) as node:
        headers = {"X-Forwarded-For": "203.0.113.9", KEY_HEADER: "caxton_not_a_key"}
        for _ in range(400):
            assert node.client.get("/api/v1/agents", headers=headers).status_code == 401
        lines = [line for line in node.log.read_text().splitlines() if '"status":401' in line]
        assert 0 < len(lines) < 200
        assert json.loads(lines[0])["client"] == "203.0.113.9"
        assert "caxton_not_a_key" not in node.log.read_text()
