"""Reading a connection under deadlines.

Owns the bytes that were read and not used yet. Must never know what they mean.
"""

from __future__ import annotations

import time
from typing import Any, Final

from gevent.hub import get_hub
from gunicorn.http.errors import LimitRequestHeaders, ParseException
from gunicorn.http.unreader import SocketUnreader

from caxton.api.idle import IdleClients

_READ: Final = 1
HEAD_BYTES: Final = 64 * 1024
"""All headers of a request together: gunicorn's limits for each of them would let everybody fill 800 KB."""
STRANGER_LINGER_BYTES: Final = 16 * 1024 * 1024


class TooSlowError(ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """The client did not send its request in time."""


class DeadlineUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn ships no types
    """Reads under a deadline: `idle` seconds for a first byte, then what `deadline` leaves."""

    def __init__(self, sock: Any, clients: IdleClients, header_seconds: float, keepalive: float) -> None:
        super().__init__(sock)
        self.idle = header_seconds
        self.header_seconds = header_seconds
        self.keepalive = keepalive
        self.deadline: float | None = None
        self.head_left: int | None = HEAD_BYTES
        """How much a head that is being read may still have; None while it is a body."""
        self.linger_bytes = STRANGER_LINGER_BYTES
        """How much is read and thrown away of a client who still sends when the connection ends."""
        self._clients = clients
        self._used = False
        self._readable = get_hub().loop.io(sock.fileno(), _READ)

    def close(self) -> None:
        """To be called before the socket is closed."""
        self._readable.close()

    def wait(self) -> bool:
        """Waits for the first bytes of a request; False when the connection is to end without one."""
        decrypted = getattr(self.sock, "pending", None)
        if decrypted is not None and decrypted():
            return True
        used, self._used = self._used, True
        return self._clients.wait(self._readable, self.idle, used=used)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here that the next request could begin with."""
        return not self.buf.getvalue()

    def next_request(self) -> None:
        """A request was answered: the client may be idle now."""
        self.deadline, self.idle = None, self.keepalive

    def head_is_here(self, seconds: float) -> None:
        """What comes now is a body, for which there are `seconds`."""
        self.deadline, self.head_left = time.monotonic() + seconds, None

    def give_back(self, data: bytes, *, seconds: float | None = None) -> None:
        """What somebody else has read of a request that is to be read here, the rest within `seconds`."""
        self.unread(data)
        self.deadline = time.monotonic() + (self.header_seconds if seconds is None else seconds)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next piece from the socket; b"" when an idle connection ends.

        `TooSlowError` when it does not come in time, `LimitRequestHeaders` when a head does not end.
        """
        if self.deadline is None:
            if not self.wait():
                return b""
            self.deadline = time.monotonic() + self.header_seconds
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooSlowError
        self.sock.settimeout(left)
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise TooSlowError from None
        if self.head_left is not None:
            self.head_left -= len(data)
            if self.head_left < 0:
                raise LimitRequestHeaders(f"more than {HEAD_BYTES} bytes of headers")
        return data
