"""Frames on a stream: a 4-byte little-endian length, then one msgpack value.

Owns the cutting of a byte stream into frames and their encoding. Must never know what a frame means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code

MAX_FRAME_BYTES: Final = 192 * 1024 * 1024
"""A module of 100 MB and a batch of 10,000 messages must pass; nothing larger may be buffered."""

_LENGTH = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()


def encode_frame(value: Any) -> bytes:
    """`value` (a struct of this package) as one frame."""
    body = _encoder.encode(value)
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Cuts a byte stream into frame bodies; keeps what is incomplete.

    `feed` raises `CaxtonError(INVALID_REQUEST)` for a frame over `limit`; the stream is then unusable
    and the connection must be closed.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields every frame body that is complete after `data`."""
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        try:
            while end - start >= 4:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if length > self._limit:
                    raise CaxtonError(
                        Code.INVALID_REQUEST, "frame too large", found_bytes=length, limit_bytes=self._limit
                    )
                if end - start - 4 < length:
                    break
                body = bytes(buffer[start + 4 : start + 4 + length])
                start += 4 + length
                yield body
        finally:
            del buffer[:start]
