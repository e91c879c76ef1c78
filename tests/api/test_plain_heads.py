from __future__ import annotations

import pytest

from caxton.api.plain import BODY_BYTES, HEAD_BYTES, path_of, read_head

LINE = b"POST /api/v1/messages HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
LENGTH = b"Content-Length: 2\r\n"
END = b"\r\n"


def test_a_plain_head() -> None:
    data = (
        LINE + HOST + b"content-type:application/json\r\nX-Request-Id:  a b \r\nConnection: Keep-Alive\r\n" + LENGTH
    )
    head = read_head(data + END + b"{}")
    assert head is None  # a value that ends in a blank is not plain
    head = read_head(data.replace(b"a b ", b"a b") + END + b"{}")
    assert head is not None
    assert (data.replace(b"a b ", b"a b") + END + b"{}")[head.begin :] == b"{}"
    assert head.length == 2
    assert head.environ == {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "",
        "PATH_INFO": "/api/v1/messages",
        "HTTP_HOST": "a",
        "CONTENT_TYPE": "application/json",
        "HTTP_X_REQUEST_ID": "a b",
        "CONTENT_LENGTH": "2",
    }


@pytest.mark.parametrize(
    "line",
    [
        b"GET /a HTTP/1.1\r\n",
        b"POST /a HTTP/1.0\r\n",
        b"POST /a HTTP/1.1\n",
        b"POST  /a HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"POST /%61 HTTP/1.1\r\n",
        b"POST http://a/b HTTP/1.1\r\n",
        b"\r\nPOST /a HTTP/1.1\r\n",
        b"post /a HTTP/1.1\r\n",
        b"POST /" + b"a" * 500 + b" HTTP/1.1\r\n",
    ],
)
def test_first_lines_that_are_left_to_gunicorn(line: bytes) -> None:
    assert path_of(line + HOST + LENGTH + END) is None
    assert read_head(line + HOST + LENGTH + END) is None


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 2\r\n",  # twice
        b"Host: b\r\n",  # twice
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive, x\r\n",
        b"Upgrade: h2c\r\n",
        b"X-Forwarded-Host: a\r\n",
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n",  # joined by gunicorn
        b"Forwarded: for=1.2.3.4\r\n",
        b"Content_Type: a/b\r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b"A: b\r\n c\r\n",
        b"A: b\nC: d\r\n",
        b"A: b\0\r\n",
        b"A: \xc3\xa9\r\n",
        b"A:\r\n",
        b": b\r\n",
        b"A\r\n",
        b"".join(b"A%d: b\r\n" % i for i in range(70)),
        b"A: " + b"b" * HEAD_BYTES + b"\r\n",
    ],
)
def test_headers_that_are_left_to_gunicorn(header: bytes) -> None:
    assert read_head(LINE + HOST + LENGTH + END) is not None
    assert read_head(LINE + HOST + LENGTH + header + END) is None


@pytest.mark.parametrize("length", [b"+2", b"-2", b"02", b"2,2", b"0x2", b"2 2", b"%d" % (BODY_BYTES + 1), b"1" * 30])
def test_lengths_that_are_left_to_gunicorn(length: bytes) -> None:
    assert read_head(LINE + HOST + b"Content-Length: " + length + b"\r\n" + END) is None


@pytest.mark.parametrize("missing", [HOST, LENGTH])
def test_what_must_be_there(missing: bytes) -> None:
    assert read_head((LINE + HOST + LENGTH).replace(missing, b"") + END) is None


def test_a_head_that_is_not_complete() -> None:
    data = LINE + HOST + LENGTH + END
    assert all(read_head(data[:end]) is None for end in range(len(data)))
