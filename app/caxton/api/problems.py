"""Errors as RFC 9457 `application/problem+json`, the same for every source of an error.

Owns the shape of an error's body and its headers. Must never show a traceback or an internal text.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, Final

import msgspec

from caxton.protocol.errors import HTTP_STATUS, CaxtonError, Code

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_SECONDS: Final = {Code.RATE_LIMITED: 1, Code.MAILBOX_FULL: 1, Code.NOT_READY: 1, Code.DRAINING: 5}
_encoder = msgspec.json.Encoder()


class ErrorDetail(msgspec.Struct, frozen=True):
    """What clients switch on."""

    code: Code
    message: str
    details: dict[str, Any]
    trace_id: str


class Problem(msgspec.Struct, frozen=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    error: ErrorDetail


class Rendered(msgspec.Struct, frozen=True):
    """An error ready to be sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def render(
    error: CaxtonError, trace_id: str, *, status: int | None = None, extra: dict[str, Any] | None = None
) -> Rendered:
    """`error` as status, headers and body. `extra` are further members of the body (RFC 9457, 3.2)."""
    status = status or HTTP_STATUS[error.code]
    problem = Problem(
        type=f"urn:caxton:error:{error.code.lower()}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.message,
        error=ErrorDetail(error.code, error.message, error.details, trace_id),
    )
    body = _encoder.encode({**msgspec.structs.asdict(problem), **extra} if extra else problem)
    headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body)))]
    if error.code in (Code.UNAUTHORIZED, Code.FORBIDDEN):
        headers.append(("WWW-Authenticate", _challenge(error)))
    if status in (429, 503):
        headers.append(("Retry-After", str(_retry_after(error))))
    return Rendered(status, headers, body)


def status_line(status: int) -> str:
    """`404 Not Found` and its like."""
    return f"{status} {HTTPStatus(status).phrase}"


def internal() -> CaxtonError:
    """What a client sees of a fault of ours."""
    return CaxtonError(Code.INTERNAL_ERROR, "something went wrong on this node; its log has the trace id")


def _challenge(error: CaxtonError) -> str:
    """RFC 6750, 3: nothing but the realm for a request that brought no credentials."""
    bearer = 'Bearer realm="caxton"'
    if error.code is Code.FORBIDDEN:
        needed = error.details.get("needed")
        scope = f', scope="{needed}"' if isinstance(needed, str) else ""
        return f'{bearer}, error="insufficient_scope"{scope}'
    if error.details.get("reason") == "invalid_token":
        bearer += ', error="invalid_token"'
    return f'{bearer}, ApiKey realm="caxton"'


def _retry_after(error: CaxtonError) -> int:
    asked = error.details.get("retry_after_seconds")
    return max(1, math.ceil(asked)) if isinstance(asked, (int, float)) else _RETRY_SECONDS.get(error.code, 1)
