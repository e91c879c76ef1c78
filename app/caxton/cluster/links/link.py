"""The link to one peer: connected for as long as the peer is a member, again and again.

Owns when it is connected anew, and which calls may be made again by themselves. Must never give up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from caxton.cluster.links.calls import Calls, NotTakenError
from caxton.cluster.links.failures import unreachable
from caxton.cluster.links.figures import LinkFigures
from caxton.cluster.links.streams import Asked, asked_apart
from caxton.cluster.links.wire import connect
from caxton.config import split_address
from caxton.config.problems import Rejected
from caxton.protocol.errors import CaxtonError, Code

FIRST_DELAY: Final = 0.05
LAST_DELAY: Final = 2.0
STABLE_SECONDS: Final = 1.0
"""A link that lived for so long is made anew at once."""
BULK_BYTES: Final = 256 * 1024
"""Larger arguments go over a connection of their own: heartbeats would have to wait behind them."""
PATIENCE_SECONDS: Final = 1.0
"""How long a call waits for a link that is just being made: an API worker that was replaced is no reason to fail."""

log = logging.getLogger(__name__)


class Link:
    """`address`: `host:port` of the peer's API, and may change. `changed` is called when it comes up or goes down."""

    def __init__(
        self, node: str, address: str, context: Callable[[], ssl.SSLContext], changed: Callable[[], None]
    ) -> None:
        self.node, self.address = node, address
        self.figures = LinkFigures()
        self._context, self._changed = context, changed
        self._calls: Calls | None = None
        self._old: set[Calls] = set()
        """Those on connections on which the peer takes no more, but still answers."""
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._hurry = asyncio.Event()
        self._settled = False
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    @property
    def is_up(self) -> bool:
        """Whether a call made now is sent at once."""
        return self._calls is not None

    @property
    def in_flight(self) -> int:
        """Calls that have no answer yet."""
        return sum(map(len, self._old)) + (len(self._calls) if self._calls is not None else 0)

    async def call(self, op: str, args: bytes, timeout: float) -> bytes:
        """As `Calls.call`; what the peer did not take is made again. `NOT_READY` with `node` without a link."""
        try:
            while True:
                calls = self._calls or await self._come_up(min(timeout, PATIENCE_SECONDS))
                if len(args) > BULK_BYTES:
                    return await asked_apart(self.asked(op, args), timeout)
                await calls.writable()
                with suppress(NotTakenError):
                    return await calls.call(op, args, timeout)
                await asyncio.sleep(0)  # the loss is noticed
        except CaxtonError as error:
            self.figures.errors += error.code is Code.NOT_READY
            raise

    def asked(self, op: str, args: bytes) -> Asked:
        """A call of this peer that is made on a connection of its own."""
        return Asked(self.node, self.address, self._context, op, args, self.figures)

    def hurry(self) -> None:
        """There is reason to believe that it can be reached now: the next attempt is made at once."""
        self._hurry.set()

    def cut(self) -> None:
        """Nobody answers on it: what is there is given up, and made anew."""
        if self._calls is not None:
            self._calls.abort()

    async def close(self) -> None:
        """The peer is no member any more, or this router ends."""
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        for calls in (*self._old, self._calls):
            if calls is not None:
                calls.abort()

    async def _come_up(self, seconds: float) -> Calls:
        """Waits for a link that may be there any moment, not for one that has just failed to come."""
        if not self._settled:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._up.wait()
        if self._calls is None:
            raise unreachable(self.node, self.figures.last_error)
        return self._calls

    async def _keep(self) -> None:
        """Connects, waits for the end, connects again; failed attempts are ever further apart, and never together."""
        delay, loop = FIRST_DELAY, asyncio.get_running_loop()
        while True:
            self._hurry.clear()
            try:
                await self._connect()
                since = loop.time()
                await self._ended.wait()
                delay = FIRST_DELAY if loop.time() - since >= STABLE_SECONDS else delay
            except (OSError, ValueError, Rejected, CaxtonError) as error:
                self._settled = True
                self._say(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay * random.uniform(0.5, 1.0)):  # nosec B311 # jitter
                    await self._hurry.wait()
            delay = min(delay * 2, LAST_DELAY)

    def _say(self, error: Exception) -> None:
        """Once, however often it is tried."""
        text = f"{type(error).__name__}: {error}"[:200]
        if text != self.figures.last_error:
            log.info("no link to %s at %s: %s", self.node, self.address, text)
        self.figures.last_error = text

    async def _connect(self) -> None:
        self._ended.clear()
        host, port = split_address(self.address)
        calls = Calls(self.node, self.figures, lambda: self._leave(calls))
        wire = await connect(self.node, host, port, self._context(), calls.received, lambda: self._lost(calls))
        calls.begin(wire)
        self._calls, self._settled, self.figures.last_error = calls, False, ""
        self.figures.connects += 1
        self.figures.connected = True
        self._up.set()
        self._changed()

    def _leave(self, calls: Calls) -> None:
        """The peer takes no more calls on this connection; those that it took it still answers."""
        if calls is self._calls:
            self._old.add(calls)
            self._hurry.set()
            self._down()

    def _lost(self, calls: Calls) -> None:
        self._old.discard(calls)
        calls.lost()
        if calls is self._calls:
            self._down()

    def _down(self) -> None:
        self._calls = None
        self.figures.connected = False
        self._up.clear()
        self._ended.set()
        self._changed()
