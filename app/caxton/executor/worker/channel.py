"""A non-blocking stream of frames with writes gathered per loop.

Owns one socket's buffers. Must never know what a frame means.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

import msgspec

from caxton.protocol.frames import FrameDecoder, encode_frame

READ_BYTES: Final = 1 << 18
BACKLOG_BYTES: Final = 64 * 1024 * 1024
"""While this much waits to be written nothing more is read: the peer must take its answers first."""


class Channel:
    """One socket. `closed` once the peer went away."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.socket.setblocking(False)
        self.closed = False
        self._decoder = FrameDecoder()
        self._parts: list[bytes] = []
        self._unsent = memoryview(b"")

    def fileno(self) -> int:
        """The descriptor, for epoll."""
        return self.socket.fileno()

    def frames(self) -> Iterator[bytes]:
        """Bodies of the frames that have arrived."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return iter(())
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return iter(())
        return self._decoder.feed(data)

    def send(self, frame: msgspec.Struct) -> None:
        """Queues a frame; `flush` writes it."""
        self._parts.append(encode_frame(frame))

    @property
    def pending(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._parts) or len(self._unsent) > 0

    @property
    def choked(self) -> bool:
        """Whether the peer is so far behind that nothing more should be read."""
        return len(self._unsent) > BACKLOG_BYTES

    def flush(self) -> bool:
        """Writes what it can; True when nothing is left."""
        if self._parts:
            data = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
            self._parts.clear()
            self._unsent = memoryview(bytes(self._unsent) + data if len(self._unsent) else data)
        while len(self._unsent):
            try:
                sent = self.socket.send(self._unsent)
            except BlockingIOError:
                return False
            except ConnectionError:
                self.closed = True
                return True
            self._unsent = self._unsent[sent:]
        return True
