"""The audit's writer in the router: many records share one sync of the disk, none of them stops the loop.

Owns the thread that writes, what is owed to the audit after a failed write, and the heads in the log. Must never let
an action begin whose beginning is not on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from caxton.audit.log import Log
from caxton.audit.offline import unwritable
from caxton.audit.record import GENESIS, Draft
from caxton.audit.retention import prune
from caxton.protocol.audit import Head

HEAD_SECONDS: Final = 1.0
"""How often the head goes to the log at most. What was recorded since, nobody outside has witnessed."""
MOST_OWED: Final = 10_000
Describe = Callable[[], dict[str, Any]]
log = logging.getLogger(__name__)


class Recorder:
    """Appends to the audit of this node. It is opened with the first record, and again after an error."""

    def __init__(self, directory: Path, node: str) -> None:
        self._directory, self._node = directory, node
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._log: Log | None = None
        self._waiting: list[tuple[Draft, Describe | None, asyncio.Future[Head]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._owed: list[Draft] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._head = Head(0, GENESIS)
        self._told = self._head
        self._teller: asyncio.TimerHandle | None = None
        self._records = self._errors = 0
        self._faults = 0

    @property
    def directory(self) -> Path:
        """Where the records are."""
        return self._directory

    def figures(self) -> dict[str, float]:
        """For `stats`: the head, what is owed, and whether nothing of it was found damaged or missing."""
        return {"head_sequence": self._head.seq, "owed": len(self._owed), "intact": not self._faults}

    def meters(self) -> dict[str, float]:
        """Counted since the router started."""
        return {"records": self._records, "write_errors": self._errors}

    async def append(self, draft: Draft, describe: Describe | None = None) -> int:
        """Its number, once it is on disk; else `STORAGE_FULL`. `describe` makes its details, in the thread."""
        future: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._waiting.append((draft, describe, future))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        return (await future).seq

    async def owe(self, draft: Draft) -> None:
        """Records what has happened already: where that fails, it stays owed and comes before any other record."""
        try:
            await self.append(draft)
        except Exception as error:
            if len(self._owed) < MOST_OWED:
                self._owed.append(draft)
            log.critical("the audit owes the record of %s (%s): %s", draft.action, draft.outcome, error)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Work that `close` waits for, whoever else is gone."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def prune(self, days: float, most_bytes: int) -> int:
        """Applies the retention; how many files went."""
        gone = int(await self._in_thread(lambda: prune(self._opened(), days, most_bytes)))
        if gone and self._log is not None:
            self._records += 1
            self._wrote(self._log.head)
        return gone

    async def settle(self) -> None:
        """Writes what is owed, when there is anything."""
        if self._owed:
            await self.owe(self._owed.pop())

    async def close(self) -> None:
        """Waits for every record that is under way, tells the last head, and lets go of the files."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._teller is not None:
            self._teller.cancel()
        self._tell()
        self._thread.shutdown(wait=True)
        if self._log is not None:
            self._log.close()

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            owed, self._owed = self._owed, []
            try:
                heads = await self._in_thread(lambda: self._append(owed, batch))  # noqa: B023  # awaited in this round
            except Exception as error:
                self._errors += 1
                self._owed = owed + self._owed
                failure = unwritable(self._directory, error) if isinstance(error, OSError) else error
                for _, _, future in batch:
                    if not future.done():
                        future.set_exception(failure)
                continue
            self._records += len(owed) + len(batch)
            for (_, _, future), head in zip(batch, heads[len(owed) :], strict=True):
                if not future.done():
                    future.set_result(head)
            self._wrote(heads[-1])
        self._writing = None

    def _append(
        self, owed: list[Draft], batch: list[tuple[Draft, Describe | None, asyncio.Future[Head]]]
    ) -> list[Head]:
        drafts = owed + [
            draft if describe is None else replace(draft, details=describe()) for draft, describe, _ in batch
        ]
        heads = self._opened().append(drafts)
        self._look()
        return heads

    def _opened(self) -> Log:
        if self._log is None:
            self._log = Log(self._directory, self._node)
        return self._log

    def _look(self) -> None:
        """Says what the log found wrong; once."""
        found = self._log.faults if self._log is not None else []
        for fault in found[self._faults :]:
            log.critical("the audit is damaged: %s; see caxton audit verify", fault)
        self._faults = len(found)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _wrote(self, head: Head) -> None:
        self._head = head
        if self._teller is None:
            self._tell()
            self._teller = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._again)

    def _again(self) -> None:
        self._teller = None
        if self._told != self._head:
            self._wrote(self._head)

    def _tell(self) -> None:
        """The log keeps the head where the node's user cannot change it: the anchor of a later check."""
        if self._told != self._head:
            self._told = self._head
            log.warning("audit head %s", self._head)
