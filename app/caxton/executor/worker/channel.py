"""A non-blocking stream of frames with writes gathered per loop.

Owns one socket's buffers. Must never know what a frame means, or keep what it has read: it may be a secret.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import MAX_FRAME_BYTES, encode_frame

READ_BYTES: Final = 1 << 18
_LENGTH: Final = struct.Struct("<I")
BACKLOG_BYTES: Final = 64 * 1024 * 1024
"""While this much waits to be written nothing more is read: the peer must take its answers first."""


class Channel:
    """One socket. `closed` once the peer went away."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.socket.setblocking(False)
        self.closed = False
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._filled = 0
        self._parts: list[bytes] = []
        self._unsent = memoryview(b"")

    def fileno(self) -> int:
        """The descriptor, for epoll."""
        return self.socket.fileno()

    def frames(self) -> Iterator[memoryview]:
        """Bodies of the frames that have arrived. Each is overwritten when the next is asked for; ask for all."""
        try:
            count = self.socket.recv_into(self._buffer[self._filled :])
        except BlockingIOError:
            return
        except ConnectionError:
            count = 0
        if not count:
            self.closed = True
            return
        self._filled += count
        start, end, buffer = 0, self._filled, self._buffer
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            after = start + _LENGTH.size + length
            if length > MAX_FRAME_BYTES:
                raise CaxtonError(
                    Code.INVALID_REQUEST, "frame too large", found_bytes=length, limit_bytes=MAX_FRAME_BYTES
                )
            if after > end:
                break
            yield buffer[start + _LENGTH.size : after]
            buffer[start:after] = bytes(after - start)
            start = after
        self._keep(start, end)

    def _keep(self, start: int, end: int) -> None:
        """What is incomplete moves to the front, into a larger buffer where it has to."""
        rest, buffer = end - start, self._buffer
        wanted = READ_BYTES
        if rest >= _LENGTH.size:
            wanted = max(_LENGTH.unpack_from(buffer, start)[0] + _LENGTH.size, READ_BYTES)
        target = buffer if wanted == len(buffer) else memoryview(bytearray(wanted))
        if target is not buffer or start:
            target[:rest] = buffer[start:end]
            cleared = max(start, rest) if target is buffer else 0
            buffer[cleared:end] = bytes(end - cleared)
        self._buffer, self._filled = target, rest

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
