"""Reading a connection under deadlines.

Owns the bytes that were read and not used yet. Must never know what they mean.
"""

from __future__ import annotations

import time
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader


class TooSlowError(ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """The client did not send its request in time."""


class DeadlineUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn ships no types
    """Reads under a deadline: `idle` seconds for a first byte, then what `deadline` leaves."""

    def __init__(self, sock: Any, header_seconds: float, keepalive: float) -> None:
        super().__init__(sock)
        self.idle = header_seconds
        self.header_seconds = header_seconds
        self.keepalive = keepalive
        self.deadline: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here that the next request could begin with."""
        return not self.buf.getvalue()

    def next_request(self) -> None:
        """A request was answered: the client may be idle now."""
        self.deadline, self.idle = None, self.keepalive

    def give_back(self, data: bytes, *, seconds: float | None = None) -> None:
        """What somebody else has read of a request that is to be read here, the rest within `seconds`."""
        self.unread(data)
        self.deadline = time.monotonic() + (self.header_seconds if seconds is None else seconds)

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
