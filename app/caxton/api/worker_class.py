"""The gunicorn worker: gevent, with deadlines for slow clients and problem bodies for what never parses.

Owns a connection from its first byte to its last. Must never know a route.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from gunicorn import http, util
from gunicorn.http import errors, wsgi
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.ggevent import GeventWorker

from caxton.api import problems, trace
from caxton.protocol.errors import CaxtonError, Code

ENVIRON_REQUEST: Final = "caxton.request"
ENVIRON_EXPECTED: Final = "caxton.expected_100_continue"
"""Set while the client waits for a word before it sends its body; whoever reads the body says it."""
ENVIRON_WORKER: Final = "caxton.worker"
DRAIN_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024

_REFUSALS: Final[dict[type[Exception], tuple[int, Code]]] = {
    errors.LimitRequestLine: (414, Code.HEADERS_TOO_LARGE),
    errors.LimitRequestHeaders: (431, Code.HEADERS_TOO_LARGE),
    errors.ExpectationFailed: (417, Code.INVALID_REQUEST),
    errors.UnsupportedTransferCoding: (501, Code.INVALID_REQUEST),
    errors.ForbiddenProxyRequest: (403, Code.FORBIDDEN),
}


class TooSlowError(errors.ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """The client did not send its request in time."""


class DeadlineUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn ships no types
    """Reads under a deadline: `idle` seconds for a first byte, then what `deadline` leaves."""

    def __init__(self, sock: Any, idle: float, header_seconds: float) -> None:
        super().__init__(sock)
        self.idle = idle
        self.header_seconds = header_seconds
        self.deadline: float | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next piece from the socket, or `TooSlowError`; b"" when an idle connection ends."""
        waiting_for_request = self.deadline is None
        left = self.idle if self.deadline is None else self.deadline - time.monotonic()
        if left <= 0:
            raise TooSlowError
        self.sock.settimeout(left)
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            if waiting_for_request:
                return b""
            raise TooSlowError from None
        if waiting_for_request:
            self.deadline = time.monotonic() + self.header_seconds
        return data


class CaxtonWorker(GeventWorker):  # type: ignore[misc]  # gunicorn ships no types; it is extended by subclassing
    """Serves HTTP/1.1 only. Timeouts in seconds: `connection_seconds` for headers, `request_seconds` for a body."""

    connection_seconds = 30.0
    request_seconds = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle_clients: set[Any] = set()

    def notify(self) -> None:
        """Once a second. A worker that ends does not wait for connections that ask nothing of it."""
        super().notify()
        if not self.alive:
            for client in list(self.idle_clients):
                client.shutdown(socket.SHUT_RD)  # a request that has arrived already is still answered

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """One connection: requests until it closes, is idle for too long or has to be ended."""
        parser = http.get_parser(self.cfg, client, addr)
        parser.unreader = unreader = DeadlineUnreader(client, self.connection_seconds, self.connection_seconds)
        request = None
        try:
            while self._serve_one(listener, client, addr, parser):
                unreader.deadline, unreader.idle = None, float(self.cfg.keepalive)
            request = parser.mesg
        except (StopIteration, errors.NoMoreData, ConnectionError, TimeoutError):
            pass
        except errors.ParseException as error:
            self._refuse(client, error)
        except OSError as error:
            self.log.debug("connection ended: %s", error)
        except Exception:
            # An answer broke while it was sent: all that is left is to end the connection.
            self.log.exception("an answer failed")
        finally:
            if request is None or request.must_close:
                _linger(client)
            util.close(client)

    def _serve_one(self, listener: Any, client: Any, addr: Any, parser: RequestParser) -> bool:
        self.idle_clients.add(client)
        try:
            request: Request = next(parser)
        finally:
            self.idle_clients.discard(client)
        parser.unreader.deadline = time.monotonic() + self.request_seconds
        client.settimeout(self.request_seconds)
        self.nr += 1
        expected, request._expected_100_continue = request._expected_100_continue, False
        response, environ = wsgi.create(request, client, addr, listener.getsockname(), self.cfg)
        environ["wsgi.multithread"] = True
        environ[ENVIRON_REQUEST] = request
        environ[ENVIRON_EXPECTED] = expected
        environ[ENVIRON_WORKER] = self
        if not self.alive or not self.cfg.keepalive:
            request.force_close()
        chunks = self.wsgi(environ, response.start_response)
        try:
            if _unread_bytes(request) > DRAIN_BYTES:
                request.force_close()
            for chunk in chunks:
                response.write(chunk)
            response.close()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return not response.should_close()

    def _refuse(self, client: Any, error: errors.ParseException) -> None:
        status, body = refusal(error)
        head = f"HTTP/1.1 {problems.status_line(status)}\r\nConnection: close\r\n"
        try:
            client.settimeout(LINGER_SECONDS)
            client.sendall(head.encode() + body)
        except OSError:
            pass


def refusal(error: errors.ParseException) -> tuple[int, bytes]:
    """Status, and the rest of the headers with the body, for a request that gunicorn cannot parse."""
    made = trace.begin({})
    if isinstance(error, TooSlowError):
        status, code, text = 408, Code.REQUEST_TIMEOUT, "the request did not arrive in time"
    else:
        status, code = _REFUSALS.get(type(error), (400, Code.INVALID_REQUEST))
        text = f"not a valid HTTP request: {error}"[:300]
    rendered = problems.render(CaxtonError(code, text), made.trace_id, status=status)
    lines = [f"{name}: {value}\r\n" for name, value in [*rendered.headers, *made.headers()]]
    return status, "".join(lines).encode() + b"\r\n" + rendered.body


def _unread_bytes(request: Request) -> int:
    """How much of the body nobody has read; an unfinished chunked body counts as endless."""
    reader = request.body.reader
    if hasattr(reader, "length"):
        return int(reader.length)
    return DRAIN_BYTES + 1 if getattr(reader, "parser", None) is not None else 0


def _linger(client: Any) -> None:
    """Lets the client read our last answer while it still sends: closing at once would reset the connection."""
    left, until = LINGER_BYTES, time.monotonic() + LINGER_SECONDS
    try:
        client.shutdown(socket.SHUT_WR)
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            client.settimeout(seconds)
            data = client.recv(256 * 1024)
            if not data:
                return
            left -= len(data)
    except OSError:
        pass
