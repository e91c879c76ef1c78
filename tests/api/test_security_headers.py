"""Every answer tells browsers the same, whoever answers: a view, the fast lane, a probe, a parser that gave up."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from api.checks import BASE
from api.conftest import furnished
from api.raw import Answer, Connection, ask, post

from support.node import Node


@pytest.fixture(scope="module")
def proxied() -> Iterator[Node]:
    """A node behind a balancer on this host."""
    with furnished(security={"auth_enabled": False, "trusted_proxies": ["127.0.0.1"]}) as made:
        yield made


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: node", *headers, "", ""]).encode()


INVOKE = f"{BASE}/agents/echo/invoke"
ANSWERS = {
    "lane": (post(INVOKE, "Content-Length: 2") + b"{}", 200),
    "lane's error": (post(f"{BASE}/agents/nobody/invoke", "Content-Length: 2") + b"{}", 404),
    "short cut": (post(INVOKE, "Content-Length: 2", "TE: trailers") + b"{}", 200),
    "flask": (get(f"{BASE}/agents"), 200),
    "flask's error": (get(f"{BASE}/nowhere"), 404),
    "wrong method": (get(INVOKE), 405),
    "options": (b"OPTIONS " + get(f"{BASE}/agents")[4:], 200),
    "probe": (get("/health"), 200),
    "readiness": (get("/ready"), 200),
    "description": (get(f"{BASE}/openapi.json"), 200),
    "page": (get(f"{BASE}/docs"), 200),
    "no request": (b"GARBAGE\r\n\r\n", 400),
    "large head": (get("/health", "A: " + "x" * 9000), 431),
}


def checked(answer: Answer, line: bytes) -> None:
    found = answer.headers
    assert found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cache-control"] == "no-store"
    assert "default-src 'none'" in found["content-security-policy"]
    assert "frame-ancestors 'none'" in found["content-security-policy"]
    assert found["server"] == "caxton"
    assert "strict-transport-security" not in found, line


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_them_once(node: Node, name: str) -> None:
    request, status = ANSWERS[name]
    with Connection(node) as client:
        client.send(request)
        head = client._until(b"\r\n\r\n")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert len(names) == len(set(names)), "a header came twice"
    answer = ask(node, request)
    assert answer.status == status
    checked(answer, request)


@pytest.mark.parametrize("ask_for", [get("/metrics"), get("/health"), get("/nowhere"), get(f"{BASE}/admin/keys")])
def test_the_admin_server_has_them_too(node: Node, ask_for: bytes) -> None:
    answer = httpx.get(node.admin_url + ask_for.split()[1].decode())
    checked(Answer(answer.status_code, dict(answer.headers), answer.content), ask_for)


def test_a_stream_is_not_cached_either(node: Node) -> None:
    with node.client.stream("GET", f"{BASE}/events") as answer:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_what_came_by_tls_is_asked_to_come_by_tls_again(proxied: Node) -> None:
    for request in (ANSWERS["lane"][0], ANSWERS["flask"][0], ANSWERS["flask's error"][0]):
        head, _, body = request.partition(b"\r\n\r\n")
        assert "strict-transport-security" not in ask(proxied, request).headers
        answer = ask(proxied, head + b"\r\nX-Forwarded-Proto: https\r\n\r\n" + body)
        assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_nobody_says_tls_but_a_trusted_proxy(node: Node) -> None:
    assert "strict-transport-security" not in ask(node, get("/health", "X-Forwarded-Proto: https")).headers


def test_the_page_is_allowed_what_it_needs_and_no_more(node: Node) -> None:
    answer = node.client.get(f"{BASE}/docs")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["script-src"] == policy["style-src"] == "'unsafe-inline'"
    assert policy["connect-src"] == "'self'"
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text)
    assert set(re.findall(r"fetch\(\"([^\"]+)\"", answer.text)) <= {"openapi.json", f"{BASE}/openapi.json"}
