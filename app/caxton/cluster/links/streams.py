"""Streams from another node, each over a connection of its own: a slow reader holds up nobody's calls.

Owns the flow of one stream. Must never hold more of it than one read of the socket.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from caxton.cluster.links.figures import LinkFigures
from caxton.cluster.links.link import unreachable
from caxton.cluster.links.wire import Wire, connect
from caxton.config import split_address
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import encode_frame
from caxton.protocol.operations import Call, Fail, Farewell, Item, Reply


class _Inbox:
    """What has come and is not taken yet; while there is something, nothing more is read."""

    def __init__(self, figures: LinkFigures) -> None:
        self.wire: Wire | None = None
        self.frames: deque[Any] = deque()
        self.is_over = False
        self._figures = figures
        self._wake = asyncio.Event()

    def received(self, frames: list[Any], size: int) -> None:
        self._figures.bytes_in += size
        self.frames.extend(frame for frame in frames if not isinstance(frame, Farewell))
        if self.wire is not None and self.frames:
            self.wire.pause(True)
        self._wake.set()

    def lost(self) -> None:
        self.is_over = True
        self._wake.set()

    async def next(self) -> Any:
        """The next frame; None at the end of the connection."""
        while not self.frames:
            if self.is_over:
                return None
            self._wake.clear()
            if self.wire is not None:
                self.wire.pause(False)
            await self._wake.wait()
        return self.frames.popleft()


async def streamed(
    node: str, address: str, context: Callable[[], ssl.SSLContext], op: str, args: bytes, figures: LinkFigures
) -> AsyncGenerator[bytes, None]:
    """The JSON of each item until the peer ends the stream; see `Peers.stream`."""
    inbox = _Inbox(figures)
    host, port = split_address(address)
    try:
        wire = inbox.wire = await connect(node, host, port, context(), inbox.received, inbox.lost)
    except (OSError, TimeoutError) as error:
        raise unreachable(node, f"{type(error).__name__}: {error}"[:200]) from None
    try:
        frame = encode_frame(Call(1, op, args))
        figures.calls += 1
        figures.bytes_out += len(frame)
        wire.send(frame)
        while True:
            came = await inbox.next()
            if isinstance(came, Item):
                yield came.item
            elif isinstance(came, Reply):
                return
            elif isinstance(came, Fail):
                raise CaxtonError.from_body(came.error)
            else:
                raise CaxtonError(Code.NOT_READY, f"the stream from {node} broke off", node=node)
    finally:
        wire.close()
