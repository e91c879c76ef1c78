"""The calls under way on one connection, and how they end.

Owns call ids, deadlines and who waits. Must never make a task or a timer for a call: there may be thousands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from caxton.cluster.links.failures import busy, late, lost
from caxton.cluster.links.figures import LinkFigures
from caxton.cluster.links.wire import Wire
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import encode_frame
from caxton.protocol.operations import Call, Fail, Farewell, Hangup, Reply

MOST: Final = 8_192
SWEEP_SECONDS: Final = 0.25
"""How late a deadline may be noticed."""


class NotTakenError(Exception):
    """The call never began over there: it can be made again."""


class Calls:
    """To be given a `Wire` with `begin`. `farewell` is called when the peer takes no more calls on it."""

    def __init__(self, node: str, figures: LinkFigures, farewell: Callable[[], None]) -> None:
        self._node, self._figures, self._farewell = node, figures, farewell
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._last = 0
        self._waiting: dict[int, tuple[asyncio.Future[bytes], float]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def begin(self, wire: Wire) -> None:
        """Calls go by this connection."""
        self._wire = wire

    def __len__(self) -> int:
        return len(self._waiting)

    async def call(self, op: str, args: bytes, timeout: float) -> bytes:
        """The JSON of the answer, or the `CaxtonError` that it is instead. Cancelled, the peer is told to forget it.

        `NotTakenError`: the peer did not get it; `NOT_READY`: it may or may not have done it.
        """
        wire = self._wire
        if wire is None or not wire.is_open:
            raise NotTakenError
        if len(self._waiting) >= MOST:
            raise busy(self._node)
        self._last = call_id = self._last + 1
        frame = encode_frame(Call(call_id, op, args))
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[call_id] = answer, self._loop.time() + timeout
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self._figures.calls += 1
        self._figures.bytes_out += len(frame)
        wire.send(frame)
        try:
            return await answer
        finally:
            if self._waiting.pop(call_id, None) is not None:
                wire.send(encode_frame(Hangup(call_id)))

    def received(self, frames: list[Any], size: int) -> None:
        """What came from the peer in one read."""
        self._figures.bytes_in += size
        for frame in frames:
            if isinstance(frame, Farewell):
                self._not_taken(frame.last)
                self._farewell()
                continue
            waiting = self._waiting.pop(frame.call_id, None)
            if waiting is None or waiting[0].done():
                continue
            if isinstance(frame, Reply):
                waiting[0].set_result(frame.result)
            elif isinstance(frame, Fail):
                waiting[0].set_exception(CaxtonError.from_body(frame.error))
            else:
                waiting[0].set_exception(CaxtonError(Code.INTERNAL_ERROR, f"{self._node} streams what is no stream"))

    def abort(self) -> None:
        """Gives up the connection, and all that is under way on it."""
        if self._wire is not None:
            self._wire.abort()

    async def writable(self) -> None:
        """Returns when the peer has room for another call."""
        if self._wire is not None:
            await self._wire.writable()

    def lost(self) -> None:
        """The connection is over: nobody will answer what is under way."""
        self._fail(lambda: lost(self._node))

    def _not_taken(self, last: int) -> None:
        for call_id in [one for one in self._waiting if one > last]:
            answer, _ = self._waiting.pop(call_id)
            if not answer.done():
                answer.set_exception(NotTakenError())

    def _fail(self, error: Callable[[], Exception]) -> None:
        waiting, self._waiting = self._waiting, {}
        for answer, _ in waiting.values():
            if not answer.done():
                answer.set_exception(error())

    def _sweep(self) -> None:
        now = self._loop.time()
        for answer, deadline in list(self._waiting.values()):
            if deadline <= now and not answer.done():
                answer.set_exception(late(self._node))  # `call` tells the peer
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep) if self._waiting else None
