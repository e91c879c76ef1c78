"""Headers that try to become more: another host, another header, another line of a log."""

from __future__ import annotations

import json

import pytest
from api.raw import Answer, Connection

from support import wat
from support.node import Node, running_node

HOSTS = [
    "evil.example",
    "evil.example:1",
    "127.0.0.1:8081",
    "localhost@evil.example",
    "[::1]",
    "evil.example/path",
    "a" * 4000,
    "",
    "*",
    "évil",
]
INJECTED = [
    "a\r\nX-Injected: 1",
    "a\nX-Injected: 1",
    "a\rX-Injected: 1",
    "a%0d%0aX-Injected: 1",
    "a\u010a",
    "a\x00",
    "a\x0b",
    "a" * 8000,
]
NAMES = ["X-Request-Id", "Traceparent", "Tracestate", "Idempotency-Key", "Prefer", "If-Match", "Accept", "Origin"]


def ask(node: Node, path: str, *headers: str, host: str = "a", method: str = "POST", content: object = 1) -> Answer:
    body = json.dumps({"content": content}).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", *headers]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
    with Connection(node) as client:
        client.send(head.encode() + body)
        return client.read()


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_that_is_answered_is_made_of_the_host(node: Node, host: str) -> None:
    """Links and Location are paths, so there is nothing to poison; who may administrate is not said by a header."""
    for path in ("/api/v1/agents/echo/invoke", "/api/v1/messages", "/api/v1/nothing", "/api/v1/openapi.json"):
        answer = ask(node, path, "Prefer: respond-async", "X-Forwarded-Host: evil.example", host=host)
        assert answer.status < 500
        told = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        assert "evil.example" not in told
        assert b"evil.example" not in answer.body
        assert answer.headers.get("location", "/api/v1/jobs/").startswith("/api/v1/jobs/")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", INJECTED, ids=range(len(INJECTED)))
def test_a_header_of_the_answer_holds_one_value(node: Node, name: str, value: str) -> None:
    for path in ("/api/v1/agents/echo/invoke", "/api/v1/agents/nobody/invoke", "/api/v1/messages"):
        answer = ask(node, path, f"{name}: {value}", "Prefer: respond-async")
        assert answer.status < 500
        assert "x-injected" not in answer.headers
        assert all(line.isprintable() for pair in answer.headers.items() for line in pair)


@pytest.mark.parametrize(
    "path", ["/%0d%0aX-Injected:%201", "/api/v1/agents/%0d%0aSet-Cookie:%20a/invoke", "/a%00b", "/%1b[31m"]
)
def test_a_path_stays_a_path(node: Node, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = ask(node, path, method=method)
        assert answer.status in (400, 404, 405)
        assert {"x-injected", "set-cookie"}.isdisjoint(answer.headers)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_request_writes_a_line_of_the_log(log_format: str) -> None:
    """Everything that a client may choose, with a line end and a whole forged line in it."""
    forged = "2026-01-01T00:00:00Z INFO    router: forged"
    settings = {"log_format": log_format, "log_level": "debug"}
    with running_node(observability=settings) as node:
        node.deploy("echo", wat.ECHO)
        for end in ("\n", "\r", "\u2028", "\x85", "\x1b[1A", "%0a"):
            evil = f"x{end}{forged}"
            ask(node, "/api/v1/agents/echo/invoke", f"X-Request-Id: {evil}", f"User-Agent: {evil}", content=evil)
            ask(node, f"/api/v1/agents/{evil.replace(' ', '%20')}", method="GET")
            node.client.post("/api/v1/agents", json={"name": evil, "wat": evil})
            node.client.post(
                "/api/v1/agents", json={"name": "trap", "wat": wat.TRAP, "config": {"a": evil}, "args": [evil]}
            )
            node.client.post("/api/v1/agents/trap/invoke", json={"content": evil, "conversation_id": evil})
        node.kill_everything()
        lines = node.log.read_text(errors="replace").splitlines()
    assert lines
    assert not [line for line in lines if line.startswith(forged[:20])]
    if log_format == "json":
        for line in (line for line in lines if "forged" in line):
            assert isinstance(json.loads(line), dict)
            assert line.isascii()
