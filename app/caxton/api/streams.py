"""Streams to a client: server-sent events or NDJSON, with a heartbeat.

Owns the framing of elements that the router sends. Must never choose which elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Final

import msgspec
from flask import Response, request

from caxton.api.auth import CALLER
from caxton.api.gateway import client_fd, gateway
from caxton.api.problems import render
from caxton.api.router_client import ClientGoneError, Elements
from caxton.api.trace import ENVIRON_KEY
from caxton.api.worker_class import ENVIRON_WORKER
from caxton.protocol.errors import CaxtonError

TICK_SECONDS: Final = 0.4
"""How soon a stream notices that its worker is to end, or that its credentials do not hold any more."""
HEARTBEAT_TICKS: Final = 38
ERROR_SECONDS: Final = 0.3
"""How long a stream waits for its first element, or an error, before it sends its headers."""
SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
Frame = Callable[[bytes], bytes]


class _Numbered(msgspec.Struct):
    id: int
    type: str


_numbered = msgspec.json.Decoder(_Numbered).decode


def collect(op: str, args: msgspec.Struct) -> bytes:
    """All elements of a stream that ends by itself, as a page."""
    patience = gateway().timeout
    environ = request.environ
    elements = gateway().router.stream(
        op, args, fd=client_fd(environ), first=patience, idle=patience, caller=environ.get(CALLER)
    )
    return b'{"items":[' + b",".join(item for item in elements if item is not None) + b'],"next_cursor":null}'


def wants_sse() -> bool:
    """Whether the client asked for server-sent events."""
    return SSE in request.headers.get("Accept", "")


def event_frame(item: bytes) -> bytes:
    """A node event: its id, so that the client can resume, its type and its JSON."""
    head = _numbered(item)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (head.id, head.type.encode(), item)


def data_frame(item: bytes) -> bytes:
    """An element without an id."""
    return b"data: %b\n\n" % item


def line_frame(item: bytes) -> bytes:
    """An element as one line of NDJSON."""
    return item + b"\n"


def respond(op: str, args: msgspec.Struct, frame: Frame, media_type: str) -> Response:
    """The open response; every element leaves as soon as it is there. Early errors are raised, not streamed."""
    environ = request.environ
    elements = gateway().router.stream(
        op, args, fd=client_fd(environ), first=ERROR_SECONDS, idle=TICK_SECONDS, caller=environ.get(CALLER)
    )
    first = next(elements, None)
    chunks = _chunks(first, _while_allowed(elements, environ), frame, media_type, environ)
    response = Response(chunks, mimetype=media_type)
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _while_allowed(elements: Elements, environ: dict[str, Any]) -> Elements:
    """The elements, until the credentials that the stream was opened with are refused: `UNAUTHORIZED`."""
    authenticator = gateway().authenticator  # for later: the stream outlives Flask's context
    return _checked(elements, lambda: authenticator.identify(environ))


def _checked(elements: Elements, check: Callable[[], object]) -> Elements:
    """The elements; `check` is called again and again meanwhile, and ends them by what it raises."""
    try:
        due = monotonic() + TICK_SECONDS
        for element in elements:
            if monotonic() >= due:
                check()
                due = monotonic() + TICK_SECONDS
            yield element
    finally:
        elements.close()


def _chunks(
    first: bytes | None, elements: Elements, frame: Frame, media_type: str, environ: dict[str, Any]
) -> Iterator[bytes]:
    worker, trace_id = environ.get(ENVIRON_WORKER), environ[ENVIRON_KEY].trace_id
    heartbeat = b": alive\n\n" if media_type == SSE else b"\n"
    silent = 0
    try:
        yield heartbeat if first is None else frame(first)
        for element in elements:
            silent = silent + 1 if element is None else 0
            if element is not None:
                yield frame(element)
            elif worker is not None and not worker.alive:
                return
            elif silent % HEARTBEAT_TICKS == 0:
                yield heartbeat
    except CaxtonError as error:
        problem = render(error, trace_id).body
        yield b"event: error\ndata: %b\n\n" % problem if media_type == SSE else problem + b"\n"
    except ClientGoneError:
        return
    finally:
        elements.close()
