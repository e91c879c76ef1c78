"""What a view says about itself: its answers, its body, its errors. The OpenAPI document is made of it.

Owns the `operation` decorator. Who may call a view is not said here but in `permissions`. Must never contain a view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from flask import Response, request

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import convert

P = ParamSpec("P")
Q = TypeVar("Q", bound=msgspec.Struct)
JSON: Final = "application/json"
ATTRIBUTE: Final = "caxton_operation"


@dataclass(frozen=True)
class Operation:
    """One route as its document shows it. `answers`: status → model, or a tuple of models (None: no body)."""

    summary: str
    answers: dict[int, Any]
    body: Any = None
    media: dict[str, Any] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    headers: tuple[str, ...] = ()
    errors: tuple[Code, ...] = ()
    answer_media: str | tuple[str, ...] = JSON
    streams: str | None = None


def operation(spec: Operation) -> Callable[[Callable[P, Response]], Callable[P, Response]]:
    """Attaches `spec` to a view."""

    def decorate(view: Callable[P, Response]) -> Callable[P, Response]:
        setattr(view, ATTRIBUTE, spec)
        return view

    return decorate


def query(model: type[Q]) -> Q:
    """The query parameters as `model`; unknown, repeated and malformed ones are `INVALID_REQUEST`."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError:
        raise CaxtonError(Code.INVALID_REQUEST, "the query is not UTF-8", path="query", expected="UTF-8") from None
    values: dict[str, str] = {}
    for name, given in request.args.lists():
        if len(given) > 1:
            raise CaxtonError(
                Code.INVALID_REQUEST, f"{name[:80]}: given {len(given)} times", path=name[:80], expected="once"
            )
        values[name] = given[0]
    return convert(values, model, strict=False)


def answer(data: bytes, status: int = 200, **headers: str) -> Response:
    """JSON text as a response. Header names are written with `_` for `-`."""
    response = Response(data, status, mimetype=JSON)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response
