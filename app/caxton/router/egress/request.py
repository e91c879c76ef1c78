"""What a guest asks for, and what it gets: the JSON of `http_request` (app/docs/agents.md).

Owns both forms and every check of a request that needs no network. Must never connect.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from caxton import __version__
from caxton.router.egress.origins import Target, parse_url

DEFAULT_SECONDS: Final = 10.0
MAX_SECONDS: Final = 60.0
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16_384
_METHOD: Final = "^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
_OURS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive", "te",
     "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip
"""Headers that the node sets or that change how a message is framed; also all that begin with `proxy-`."""
_OF_AN_ORIGIN: Final = frozenset({"authorization", "cookie"})
_OF_A_BODY: Final = frozenset({"content-type", "content-encoding", "content-language", "content-location"})


class HttpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the guest writes."""

    url: str
    method: Annotated[str, Meta(pattern=_METHOD)] = "GET"
    headers: dict[str, str] = {}
    body: str | None = None
    body_base64: str | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = DEFAULT_SECONDS


class Outgoing(msgspec.Struct, frozen=True):
    """One request as it goes out; names of headers are in lower case."""

    method: str
    target: Target
    headers: list[tuple[str, str]]
    body: bytes
    timeout_seconds: float


class HttpAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the guest reads: `body` where it is UTF-8, else `body_base64`. Equal headers are joined by `, `."""

    status: int
    url: str
    headers: dict[str, str]
    body: str | None = None
    body_base64: str | None = None


_decoder: Final = msgspec.json.Decoder(HttpRequest)


def parse_request(data: bytes) -> Outgoing:
    """The request that a guest's JSON stands for; `ValueError` with what is wrong."""
    try:
        asked = _decoder.decode(data)
        body = _body(asked)
    except (msgspec.MsgspecError, binascii.Error, RecursionError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    return Outgoing(asked.method, parse_url(asked.url), _headers(asked.headers), body, asked.timeout_seconds)


def redirected(request: Outgoing, status: int, target: Target) -> Outgoing:
    """The request that follows a redirect: as browsers do it, and never with another origin's credentials."""
    method, body, dropped = request.method, request.body, set()
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body, dropped = "HEAD" if method == "HEAD" else "GET", b"", set(_OF_A_BODY)
    if target.origin != request.target.origin:
        dropped |= _OF_AN_ORIGIN
    headers = [(name, value) for name, value in request.headers if name not in dropped]
    return Outgoing(method, target, headers, body, request.timeout_seconds)


def answer_json(status: int, url: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The answer as the guest reads it."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    try:
        made = HttpAnswer(status, url, joined, body=body.decode("utf-8"))
    except UnicodeDecodeError:
        made = HttpAnswer(status, url, joined, body_base64=base64.b64encode(body).decode())
    return msgspec.json.encode(made)


def _body(asked: HttpRequest) -> bytes:
    if asked.body is not None and asked.body_base64 is not None:
        raise ValueError("body and body_base64 exclude each other")
    if asked.body_base64 is not None:
        return base64.b64decode(asked.body_base64, validate=True)
    return (asked.body or "").encode()


def _headers(given: dict[str, str]) -> list[tuple[str, str]]:
    if len(given) > MAX_HEADERS or sum(len(n) + len(v) for n, v in given.items()) > MAX_HEADER_BYTES:
        raise ValueError(f"at most {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes of them")
    headers: list[tuple[str, str]] = []
    for name, value in given.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"header {name[:40]!r}: a name is a token, a value has no line breaks")
        if lower in _OURS or lower.startswith("proxy-"):
            raise ValueError(f"header {lower!r} is the node's")
        headers.append((lower, value.strip(" \t")))
    if not any(name == "user-agent" for name, _ in headers):
        headers.append(("user-agent", f"caxton/{__version__}"))
    return headers
