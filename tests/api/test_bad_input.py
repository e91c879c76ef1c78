from __future__ import annotations

import time

import httpx
import pytest
from api.checks import BOTH_WAYS, problem
from api.raw import Connection, ask, post

from support.node import Node

ROUTES = pytest.mark.parametrize("path", ["/agents", "/agents/echo/invoke", "/messages", "/dead-letters/purge"])
JSON = {"Content-Type": "application/json"}


@BOTH_WAYS
@ROUTES
@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (b"", 1, 1),
        (b"{", 1, 2),
        (b'{"a": 1,\n "b": }', 2, 7),
        (b'{"a": 1,\r\n}', 2, 1),
        (b'{"a": nul}', 1, 7),
        (b'{"a": 1} {}', 1, 10),
        (b'{"content": NaN}', 1, 13),
        (b"\xef\xbb\xbf{}", 1, 1),
    ],
)
def test_wrong_json_names_line_and_column(http: httpx.Client, path: str, text: bytes, line: int, column: int) -> None:
    details = problem(http.post(path, content=text, headers=JSON), 400, "INVALID_REQUEST")
    assert (details["line"], details["column"]) == (line, column)


@BOTH_WAYS
@ROUTES
@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"content":' * 50_000, b'{"content": ' + b"[" * 201 + b"]" * 201 + b"}"]
)
def test_deep_json_is_refused(http: httpx.Client, path: str, text: bytes) -> None:
    problem(http.post(path, content=text, headers=JSON), 400, "INVALID_REQUEST")


@BOTH_WAYS
@ROUTES
@pytest.mark.parametrize("text", [b'{"content": "\xff"}', b'{"content": "\xed\xa0\x80"}', b"\x80"])
def test_what_is_not_utf8_is_refused(http: httpx.Client, path: str, text: bytes) -> None:
    assert "offset" in problem(http.post(path, content=text, headers=JSON), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "text",
    [
        b'{"content": 1, "content": 2}',
        b'{"content": {"a": {"b": 1, "b": 2}}}',
        b'{"content": {"a": 1, "\\u0061": 2}}',
        b'{"content": [{"a": 1}, {"a": 1, "a": 2}]}',
    ],
)
def test_a_key_that_occurs_twice_is_refused(http: httpx.Client, text: bytes) -> None:
    problem(http.post("/agents/echo/invoke", content=text, headers=JSON), 400, "INVALID_REQUEST")


def test_the_same_key_in_different_objects_is_fine(http: httpx.Client) -> None:
    content = [{"a": 1, "b": "c"}, {"a": '"a": "a":', "b": {"a": 2}}]
    assert http.post("/agents/echo/invoke", json={"content": content}).json()["content"]["content"] == content


@pytest.mark.parametrize("text", [b'{"content": "\\ud800"}', b'{"content": "\\udc00\\ud800"}'])
def test_half_a_surrogate_is_refused(http: httpx.Client, text: bytes) -> None:
    problem(http.post("/agents/echo/invoke", content=text, headers=JSON), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["/agents/echo/invoke", "/messages", "/agents"])
@pytest.mark.parametrize("kind", ["", "text/plain", "application/jsonp", "application/xml", "x" * 1000])
def test_other_content_types_are_415(http: httpx.Client, path: str, kind: str) -> None:
    problem(http.post(path, content=b"{}", headers={"Content-Type": kind}), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_content_type_may_have_parameters(http: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert http.post("/agents/echo/invoke", content=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize("body", ["[]", "1", '"x"', "null", "true"])
def test_a_body_that_is_no_object(http: httpx.Client, body: str) -> None:
    problem(http.post("/agents/echo/invoke", content=body, headers=JSON), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["agents", "agents/echo/invoke", "messages", "dead-letters/purge"])
def test_a_body_that_announces_too_much_is_refused_unread(node: Node, path: str) -> None:
    with Connection(node) as connection:
        connection.send(post(f"/api/v1/{path}", f"Content-Length: {10**12}"))
        answer = connection.read()
        assert (answer.status, answer.code()) == (413, "PAYLOAD_TOO_LARGE")
        assert answer.headers["connection"] == "close"
        assert connection.closed()


def test_a_client_that_waits_to_be_told_is_refused_at_once(node: Node) -> None:
    with Connection(node) as connection:
        connection.send(post("/api/v1/agents/echo/invoke", f"Content-Length: {10**9}", "Expect: 100-continue"))
        assert connection.read().status == 413


def test_a_client_that_waits_to_be_told_is_told(node: Node) -> None:
    with Connection(node) as connection:
        connection.send(post("/api/v1/agents/echo/invoke", "Content-Length: 2", "Expect: 100-continue"))
        assert connection.read().status == 100
        connection.send(b"{}")
        assert connection.read().status == 200


@pytest.mark.parametrize("path", ["/api/v1/agents/echo/invoke", "/api/v1/dead-letters/purge"])
def test_an_endless_chunked_body_is_cut(node: Node, path: str) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with Connection(node) as connection:
        connection.send(post(path, "Transfer-Encoding: chunked"))
        for _ in range(40):
            connection.send(chunk)
        answer = connection.read()
        assert (answer.status, answer.code()) == (413, "PAYLOAD_TOO_LARGE")


def test_a_chunked_body_is_read(node: Node) -> None:
    with Connection(node) as connection:
        connection.send(
            post("/api/v1/agents/echo/invoke", "Transfer-Encoding: chunked") + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
        )
        assert connection.read().status == 200
        connection.send(post("/api/v1/agents/echo/invoke", "Content-Length: 2") + b"{}")
        assert connection.read().status == 200


@pytest.mark.parametrize("chunk", [b"xyz\r\n", b"-1\r\n", b"2\r\n{}XX0\r\n\r\n", b"5;" + b"a" * 20_000])
def test_a_broken_chunk_is_refused(node: Node, chunk: bytes) -> None:
    answer = ask(node, post("/api/v1/agents/echo/invoke", "Transfer-Encoding: chunked") + chunk)
    assert (answer.status, answer.code()) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"GET / HTTP/1.1\r\nA_b: c\r\n\r\n", 404, "NOT_FOUND"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "HEADERS_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "INVALID_REQUEST"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: magic\r\n\r\n", 501, "INVALID_REQUEST"),
        (b"POST / HTTP/1.1\r\nExpect: the-unexpected\r\n\r\n", 417, "INVALID_REQUEST"),
    ],
)
def test_requests_that_never_reach_a_route(node: Node, request_head: bytes, status: int, code: str) -> None:
    answer = ask(node, request_head)
    assert (answer.status, answer.code()) == (status, code)


@pytest.mark.parametrize("line", [b"A: " + b"x" * 10_000_000, b"\r\n".join(b"H%d: x" % n for n in range(700_000))])
def test_ten_megabytes_of_headers_are_answered_and_cut(node: Node, line: bytes) -> None:
    started = time.monotonic()
    with Connection(node) as connection:
        connection.send(b"GET /health HTTP/1.1\r\n" + line + b"\r\n\r\n")
        answer = connection.read()
        assert (answer.status, answer.code()) == (431, "HEADERS_TOO_LARGE")
        assert connection.closed()
    assert time.monotonic() - started < 5


def test_a_connection_goes_on_after_a_refusal(node: Node) -> None:
    with Connection(node) as connection:
        connection.send(post("/api/v1/agents/nobody/invoke", "Content-Length: 2") + b"{}")
        assert connection.read().status == 404
        connection.send(post("/api/v1/nowhere", "Content-Length: 5") + b"12345")
        assert connection.read().status == 404
        connection.send(b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n")
        assert connection.read().status == 200
