"""Collects what one turn of the loop changes and has it written in one go.

Owns the open `Changes` and who waits for them. Must never decide what is written. A failed commit is
fail-stop: everybody who waits is told, `on_fatal` is called once, and nothing is accepted any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from caxton.protocol.errors import CaxtonError, Code
from caxton.store import Changes, CommitResult
from caxton.store.writer import Writer

Waiting = Callable[[CommitResult], None]
Delivered = list[tuple[Waiting, CommitResult]]


class Commits:
    """The router's only way to the writer. All methods belong to the loop's thread."""

    def __init__(self, writer: Writer, on_fatal: Callable[[Exception], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._on_fatal = on_fatal
        self._open: Changes | None = None
        self._waiting: list[Waiting] = []
        self._closing: list[Callable[[], None]] = []
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.failed: Exception | None = None
        self.record: Callable[[Changes], None] | None = None
        """Adds to changes what the cluster must know of them, right before they are handed to the writer."""
        writer.deliver = self._deliver

    @property
    def changes(self) -> Changes:
        """The changes of this turn, to be appended to; they are handed over at the turn's end."""
        if self._open is None:
            if self.failed is not None:
                why = "the node's store failed; the router is ending, and is started again"
                raise CaxtonError(Code.NOT_READY, why, retry_after_seconds=2)
            self._open = Changes()
            self._idle.clear()
            self._loop.call_soon(self._hand_over)
        return self._open

    def after(self, waiting: Waiting) -> None:
        """Calls `waiting` when this turn's changes are durable (or have failed), in the order of calls."""
        _ = self.changes
        self._waiting.append(waiting)

    def at_hand_over(self, callback: Callable[[], None]) -> None:
        """Calls back when this turn's changes are closed: what comes later belongs to the next ones."""
        _ = self.changes
        self._closing.append(callback)

    async def written(self) -> CommitResult:
        """Waits for this turn's changes; raises `INTERNAL_ERROR` when they could not be written."""
        future: asyncio.Future[CommitResult] = self._loop.create_future()
        self.after(lambda result: None if future.done() else future.set_result(result))
        result = await future
        if result.error is not None:
            raise commit_failed(result)
        return result

    async def apart(self, changes: Changes) -> CommitResult:
        """Writes changes of their own behind this turn's, so that the result is about nothing else."""
        _ = self.changes
        self._hand_over()
        future: asyncio.Future[CommitResult] = self._loop.create_future()
        self._under_way += 1
        if self.record is not None:
            self.record(changes)
        waiting: list[Waiting] = [lambda result: None if future.done() else future.set_result(result)]
        self._writer.submit(changes, lambda result: self._finished(result, waiting))
        result = await future
        if result.error is not None:
            raise commit_failed(result)
        return result

    def hand_over(self) -> None:
        """What is changed from now on comes behind everything so far."""
        if self._open is not None:
            self._hand_over()

    async def drain(self) -> None:
        """Waits until nothing is open or under way."""
        await self._idle.wait()

    def _hand_over(self) -> None:
        changes, waiting, closing = self._open, self._waiting, self._closing
        self._open, self._waiting, self._closing = None, [], []
        for callback in closing:
            callback()
        if changes is None:
            return
        self._under_way += 1
        if self.record is not None:
            self.record(changes)
        self._writer.submit(changes, lambda result: self._finished(result, waiting))

    def _deliver(self, answers: Delivered) -> None:
        """On the writer's thread: the answers of one commit cross over in one call."""
        self._loop.call_soon_threadsafe(self._delivered, answers)

    def _delivered(self, answers: Delivered) -> None:
        for done, result in answers:
            done(result)

    def _finished(self, result: CommitResult, waiting: list[Waiting]) -> None:
        self._under_way -= 1
        if result.error is not None and self.failed is None:
            self.failed = result.error
            self._on_fatal(result.error)
        for callback in waiting:
            callback(result)
        if self._under_way == 0 and self._open is None:
            self._idle.set()


def commit_failed(result: CommitResult) -> CaxtonError:
    """What callers are told when their changes could not be written."""
    full = "full" in str(result.error)
    code = Code.STORAGE_FULL if full else Code.INTERNAL_ERROR
    return CaxtonError(code, "the node could not write to its disk; nothing of this was accepted")
