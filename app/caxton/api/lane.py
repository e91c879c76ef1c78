"""The fast lane of a connection: plain requests for the routes that carry the load, answered by one write.

Owns the time between two requests while nothing but plain ones come, and gives everything else to gunicorn,
byte for byte. Must never know a route: the application says which paths it takes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any, Final

from gunicorn.http.parser import RequestParser

from caxton.api.headers import BLOCK, SERVER
from caxton.api.plain import Environ, Head, path_of, read_head
from caxton.api.unreader import DeadlineUnreader, TooSlowError

READ_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 0.2
"""How long the rest of a body is waited for before gunicorn takes over, with its deadline."""
Headers = list[tuple[str, str]]
Answer = tuple[str, Headers, bytes]
"""Status line, headers, body."""
Answerer = Callable[[Environ], Answer]
Takes = Callable[[bytes], "Answerer | None"]
"""From the path of a POST to what answers it, or None."""
ENDLESS: Final = 1 << 62
_KEPT: Final = "Connection: keep-alive\r\n"
_CLOSED: Final = "Connection: close\r\n"


class Lane:
    """One connection's. `serve` is to be called before each request."""

    def __init__(
        self, takes: Takes, client: Any, parser: RequestParser, worker: Any, peer: str, *, scheme: str = "http"
    ) -> None:
        self._takes = takes
        self._worker = worker
        self._client = client
        self._peer = peer
        self._scheme = scheme
        self._parser = parser
        self._unreader: DeadlineUnreader = parser.unreader

    def serve(self) -> None:
        """Answers plain requests until one comes that is not: that one waits in the unreader then.

        Raises `StopIteration` when the connection ends, `OSError` when it breaks.
        """
        while self._worker.alive and self._unreader.is_empty and not _unfinished(self._parser):
            data = self._wait()
            if not self._worker.alive:  # gunicorn's way says that the connection ends
                self._unreader.give_back(data)
                return
            path = path_of(data)
            answerer = self._takes(path) if path is not None else None
            head = read_head(data) if answerer is not None else None
            if head is not None and len(data) - head.begin < head.length:
                data = self._with_body(head, data)
            if answerer is None or head is None or len(data) - head.begin < head.length:
                self._unreader.give_back(data)
                return
            self._answer(answerer, head, data)
            self._unreader.idle = self._unreader.keepalive

    def _wait(self) -> bytes:
        """The first bytes of a request."""
        if not self._unreader.wait():
            raise StopIteration
        # What can be read of TLS may be a part of a record: the rest has as long as headers have.
        self._client.settimeout(self._unreader.header_seconds)
        try:
            data: bytes = self._client.recv(READ_BYTES)
        except TimeoutError:
            raise TooSlowError from None
        if not data:
            raise StopIteration
        return data

    def _with_body(self, head: Head, data: bytes) -> bytes:
        """Many clients send the body right behind the head; those that take their time are gunicorn's."""
        parts, missing = [data], head.length + head.begin - len(data)
        until = time.monotonic() + BODY_SECONDS
        while missing > 0 and (left := until - time.monotonic()) > 0:
            self._client.settimeout(left)
            try:
                more = self._client.recv(READ_BYTES)
            except TimeoutError:
                break
            if not more:
                break
            parts.append(more)
            missing -= len(more)
        return b"".join(parts)

    def _answer(self, answerer: Answerer, head: Head, data: bytes) -> None:
        client, end = self._client, head.begin + head.length
        if end < len(data):
            self._unreader.give_back(data[end:])
        environ = head.environ
        environ["wsgi.input"] = io.BytesIO(data[head.begin : end])
        environ["gunicorn.socket"] = client
        environ["REMOTE_ADDR"] = self._peer
        environ["wsgi.url_scheme"] = self._scheme
        self._worker.nr += 1
        status, headers, body = answerer(environ)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        last = not self._worker.alive
        header = _clock.header().replace(_KEPT, _CLOSED) if last else _clock.header()
        answer = f"HTTP/1.1 {status}\r\n{header}{lines}\r\n".encode("latin-1") + body
        client.settimeout(self._worker.request_seconds)
        sent = client.send(answer)
        if sent < len(answer):
            client.sendall(answer[sent:])
        if last:  # the worker was told to end meanwhile
            raise StopIteration


class _Clock:
    """The headers of every answer that depend on nothing but the time, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def header(self) -> str:
        now = int(time.time())
        if now != self._second:
            date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
            self._second, self._text = now, f"Server: {SERVER}\r\nDate: {date}\r\n{BLOCK}{_KEPT}"
        return self._text


_clock: Final = _Clock()


def _unfinished(parser: RequestParser) -> bool:
    """Whether gunicorn has yet to find the end of the request before."""
    return parser.mesg is not None and unread_bytes(parser.mesg) > 0


def unread_bytes(request: Any) -> int:
    """How much of the body nobody has read; an unfinished chunked body counts as endless."""
    reader = request.body.reader
    if hasattr(reader, "length"):
        return int(reader.length)
    return ENDLESS if getattr(reader, "parser", None) is not None else 0
