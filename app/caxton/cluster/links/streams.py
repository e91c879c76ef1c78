"""Streams, and calls with much to say, each over a connection of its own: they hold up nobody else's calls.

Owns the flow of one of them. Must never hold more of a stream than one read of the socket.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from caxton.cluster.links.failures import late, lost, unreachable
from caxton.cluster.links.figures import LinkFigures
from caxton.cluster.links.wire import Wire, connect
from caxton.config import split_address
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import encode_frame
from caxton.protocol.operations import Call, Fail, Farewell, Item, Reply


@dataclass(frozen=True)
class Asked:
    """A call of `node` at `address` (`host:port`); `context` gives the TLS of a new connection."""

    node: str
    address: str
    context: Callable[[], ssl.SSLContext]
    op: str
    args: bytes
    figures: LinkFigures


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


@asynccontextmanager
async def _apart(asked: Asked) -> AsyncIterator[_Inbox]:
    """What answers a call that is made on a connection of its own, which ends with it."""
    inbox = _Inbox(asked.figures)
    host, port = split_address(asked.address)
    try:
        wire = inbox.wire = await connect(asked.node, host, port, asked.context(), inbox.received, inbox.lost)
    except (OSError, TimeoutError) as error:
        raise unreachable(asked.node, f"{type(error).__name__}: {error}"[:200]) from None
    try:
        frame = encode_frame(Call(1, asked.op, asked.args))
        asked.figures.calls += 1
        asked.figures.bytes_out += len(frame)
        wire.send(frame)
        yield inbox
    finally:
        wire.close()


async def streamed(asked: Asked) -> AsyncGenerator[bytes, None]:
    """The JSON of each item until the peer ends the stream; see `Peers.stream`."""
    async with _apart(asked) as inbox:
        while (item := _item(asked.node, await inbox.next())) is not None:
            yield item


async def asked_apart(asked: Asked, timeout: float) -> bytes:
    """The JSON of the answer, as `Link.call`: for arguments so large that others would have to wait behind them."""
    try:
        async with asyncio.timeout(timeout), _apart(asked) as inbox:
            came = await inbox.next()
    except TimeoutError:
        raise late(asked.node) from None
    if isinstance(came, Reply):
        return came.result
    _item(asked.node, came)  # says why not
    raise CaxtonError(Code.INTERNAL_ERROR, f"{asked.node} streams what is no stream", node=asked.node)


def _item(node: str, came: Item | Reply | Fail | None) -> bytes | None:
    """The next of a stream; None at its end. Raises what ended it before."""
    if isinstance(came, Item):
        return came.item
    if isinstance(came, Reply):
        return None
    if isinstance(came, Fail):
        raise CaxtonError.from_body(came.error)
    raise lost(node)
