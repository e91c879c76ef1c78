"""The two readers of a request's head agree: what the fast lane takes for plain, gunicorn reads in the same way."""

from __future__ import annotations

import io
from random import Random
from typing import Any

import pytest
from attacks.tap import gunicorn_settings
from gunicorn.http import wsgi
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from caxton.api.plain import Head, read_head

LINES = [
    b"POST /api/v1/messages HTTP/1.1",
    b"POST /api/v1/agents/a/invoke HTTP/1.1",
    b"POST /api/v1/agents/../invoke HTTP/1.1",
    b"POST //api/v1/messages HTTP/1.1",
    b"POST /a HTTP/1.0",
    b"POST /a  HTTP/1.1",
    b"POST http://b/a HTTP/1.1",
    b"POST /a?b HTTP/1.1",
    b"POST /a%2e HTTP/1.1",
    b"POST /a",
]
NAMES = [
    *(
        b"Content-Length",
        b"content-length",
        b"Content_Length",
        b"Content-Length ",
        b" Content-Length",
        b"Content-Type",
    ),
    *(
        b"Transfer-Encoding",
        b"Transfer_Encoding",
        b"Host",
        b"Connection",
        b"Expect",
        b"Upgrade",
        b"X-A",
        b"X_A",
        b"TE",
    ),
    *(
        b"X-Api-Key",
        b"Authorization",
        b"X-Forwarded-For",
        b"Script-Name",
        b"Path-Info",
        b"Remote-User",
        b"",
        b"X\x00",
    ),
    *(
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"Forwarded",
        b"Trailer",
        b"Proxy",
        b"Http-Host",
        b"Idempotency-Key",
    ),
]
VALUES = [
    *(b"0", b"2", b"02", b"+2", b"2 ", b"2, 2", b"-1", b"2\x0b", b"\xb2", b"chunked", b"identity", b"gzip, chunked"),
    *(
        b"keep-alive",
        b"close",
        b"a",
        b"a b",
        b"a\tb",
        b"",
        b"100-continue",
        b"h2c",
        b"a\rb",
        b"a\nb",
        b"a\x00",
        b"\xe9",
    ),
    *(b"application/json", b"Bearer x", b"1.2.3.4", b"https", b'"', b"a\r\n b", b"a\r\nX-B: c", b"99999999999"),
]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]
CASES = 10_000
BASE = [b"Host: a\r\n", b"Content-Length: 2\r\n"]


def made(random: Random) -> bytes:
    """A request's head of parts that are usual, unusual or wrong, in any order; often with what makes it plain."""
    end = random.choice(ENDS)
    space = random.choice([b" ", b" ", b"", b"\t", b"  "])
    parts = [random.choice(NAMES) + b":" + space + random.choice(VALUES) + end for _ in range(random.randrange(4))]
    lines = [*parts, *(line for line in BASE if random.randrange(10))]
    random.shuffle(lines)
    return random.choice(LINES) + random.choice(ENDS) + b"".join(lines) + b"\r\n"


def by_gunicorn(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The environ that gunicorn makes of it, and the body."""
    settings_ = gunicorn_settings()
    request = Request(settings_, IterUnreader(iter([data])), ("127.0.0.1", 1), 1)
    _, environ = wsgi.create(request, io.BytesIO(), ("127.0.0.1", 1), ("127.0.0.1", 80), settings_)
    return environ, request.body.read()


def meant(environ: dict[str, Any]) -> dict[str, Any]:
    """What of an environ is the client's."""
    ours = ("REQUEST_METHOD", "QUERY_STRING", "PATH_INFO", "CONTENT_TYPE", "CONTENT_LENGTH")
    return {key: value for key, value in environ.items() if key in ours or key.startswith("HTTP_")}


def agree(data: bytes) -> Head | None:
    """Reads a head in both ways; the fast lane's reading, which gunicorn's must equal."""
    body = b"{}POST /next HTTP/1.1\r\nHost: a\r\n\r\n"
    head = read_head(data + body)
    if head is None:
        return None
    environ, read = by_gunicorn(data + body)
    environ.pop("HTTP_CONNECTION", None)  # the lane's requests keep the connection: it has nothing to say about it
    assert meant(environ) == head.environ
    assert read == (data + body)[head.begin : head.begin + head.length]
    return head


def test_what_is_plain_is_read_alike() -> None:
    random = Random(1)
    plain = sum(agree(made(random)) is not None for _ in range(CASES))
    assert plain > CASES / 100  # else nothing was compared


def test_what_is_plain_is_read_alike_with_any_byte_changed() -> None:
    random, plain = Random(2), 0
    for _ in range(CASES):
        data = bytearray(b"POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nX-A: b c\r\nContent-Length: 2\r\n\r\n")
        for _ in range(random.randrange(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        plain += agree(bytes(data)) is not None
    assert plain > CASES / 100


@pytest.mark.parametrize("value", [bytes([n]) for n in range(256)])
def test_each_byte_in_a_name_and_in_a_value(value: bytes) -> None:
    base = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    plain = agree(base + b"X-" + value + b"A: b\r\n\r\n")
    assert (plain is not None) == (value.isalnum() or value in b"-:")
    agree(base + b"X-A: b" + value + b"c\r\n\r\n")
    agree(base.replace(b"/a", b"/" + value + b"a") + b"\r\n")


def test_the_comparison_compares() -> None:
    assert agree(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n") is not None
