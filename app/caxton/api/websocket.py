"""A WebSocket (RFC 6455) on a connection of the worker: text messages in, text messages out.

Owns the frames, the pings and the closing of one connection. Must never know what a message means, or keep what the
peer does not take: whoever sends waits, and a peer that takes nothing is cut off.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import gevent
from gevent.lock import BoundedSemaphore
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from caxton.api.plain import Environ, environ_key
from caxton.protocol.errors import CaxtonError, Code

SEND_BUFFER_BYTES: Final = 64 * 1024
"""What the kernel may hold for a peer that does not read."""
CLOSE_SECONDS: Final = 2.0
MESSAGE_BYTES: Final = 16 * 1024
READ_BYTES: Final = 64 * 1024
REASON_BYTES: Final = 120
_ASKED: Final = ("Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
_TEXTS: Final = (Opcode.TEXT, Opcode.CONT)


class WebSocket:
    """Made of a request that asks for one, else `INVALID_REQUEST`; `open` says `101`.

    After `silent_seconds` in which nothing arrives the peer is asked whether it is there; after as much again it is
    gone. Nor may it take longer to take what is sent.
    """

    def __init__(self, environ: Environ, silent_seconds: float) -> None:
        self._silent_seconds = silent_seconds
        self._protocol = ServerProtocol(max_size=MESSAGE_BYTES)
        asked = Headers((name, environ[key]) for name in _ASKED if (key := environ_key(name)) in environ)
        self._protocol.receive_data(Request("/", asked).serialize())
        (request,) = self._protocol.events_received()
        assert isinstance(request, Request)
        self._answer = self._protocol.accept(request)
        if self._answer.status_code != 101:
            raise CaxtonError(
                Code.INVALID_REQUEST, "this opens a WebSocket", path="Upgrade", expected="a WebSocket's handshake"
            )
        self._client: Any = None
        self._sending = BoundedSemaphore()
        self._waits_for_pong = False

    def open(self, client: Any) -> None:
        """Takes the connection over."""
        self._client = client
        client.settimeout(self._silent_seconds)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._protocol.send_response(self._answer)
        self._flush()

    def messages(self, early: bytes) -> Iterator[bytes]:
        """Every text message, until either end closes or is gone. `early`: what has been read already."""
        text, data = b"", early
        while True:
            if data:
                self._protocol.receive_data(data)
                self._flush()
            for frame in self._protocol.events_received():
                assert isinstance(frame, Frame)
                if frame.opcode in _TEXTS:
                    text += frame.data
                    if frame.fin:
                        yield text
                        text = b""
                elif frame.opcode is Opcode.BINARY:
                    self.close(CloseCode.UNSUPPORTED_DATA, "messages are text")
            if self._protocol.close_expected():
                return
            data = self._read()

    def send(self, text: bytes) -> None:
        """One text message; returns when the connection has taken it. `OSError`: the peer is gone, or too slow."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
        self._flush()

    def close(self, code: CloseCode, reason: str) -> None:
        """Says goodbye; the peer has `CLOSE_SECONDS` to say the same."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
            gevent.spawn_later(CLOSE_SECONDS, self.cut)
            with contextlib.suppress(OSError):
                self._flush()

    def _read(self) -> bytes:
        """What comes next; empty after a ping. `OSError`: nobody is there any more."""
        try:
            data: bytes = self._client.recv(READ_BYTES)
        except TimeoutError:
            if self._waits_for_pong:
                raise
            self._waits_for_pong = True
            self._protocol.send_ping(b"")
            self._flush()
            return b""
        if not data:
            raise ConnectionError("closed without a word")
        self._waits_for_pong = False
        return data

    def _flush(self) -> None:
        """Several greenlets send: what is to go out goes out whole, in the order in which it was said."""
        with self._sending:
            for data in self._protocol.data_to_send():
                if data:
                    self._client.sendall(data)

    def cut(self) -> None:
        """Ends the connection without a word."""
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
