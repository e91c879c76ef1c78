"""The socket to one worker process.

Owns framing and coalesced writes: all frames of one turn of the loop leave in one system call. Must
never know what a frame means, or write after the worker's end is gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from caxton.protocol.execution import RouterFrame, WorkerFrame
from caxton.protocol.frames import FrameDecoder, encode_frame

_decoder: Final = msgspec.msgpack.Decoder(WorkerFrame)


class WorkerLink(asyncio.Protocol):
    """One worker's socket; `received` gets every frame of one read together, `lost` is called once."""

    def __init__(self, received: Callable[[list[WorkerFrame]], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._frames = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []

    @classmethod
    async def adopt(
        cls, fd: int, received: Callable[[list[WorkerFrame]], None], lost: Callable[[], None]
    ) -> WorkerLink:
        """Takes over the descriptor of a connected stream socket."""
        connection = socket.socket(fileno=fd)
        connection.setblocking(False)
        link = cls(received, lost)
        await asyncio.get_running_loop().create_connection(lambda: link, sock=connection)
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Decodes what is complete. A worker that sends nonsense is cut off, as if it had died."""
        try:
            frames = [_decoder.decode(body) for body in self._frames.feed(data)]
        except Exception:  # a foreign or broken peer must not take the router down
            self.close()
            return
        if frames:
            self._received(frames)

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker's end is closed: everything it sent has been received."""
        self._transport = None
        self._out.clear()
        self._lost()

    def send(self, frame: RouterFrame) -> None:
        """Queues a frame; it leaves at the end of this turn of the loop."""
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(encode_frame(frame))

    def close(self) -> None:
        """Ends the link; the worker ends itself when it sees that."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out = []
