"""Snapshots of agents that left memory are made small: blocks go into their parts, compressed.

Owns when that happens: off the way of any message, one agent at a time. Must never change what a snapshot holds;
an agent that goes on meanwhile is left as it is and comes again.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from caxton.protocol.memory_parts import folded
from caxton.router.commits import Commits
from caxton.store import Changes, SnapshotFold
from caxton.store.reader import Reader

log = logging.getLogger(__name__)


class Folding:
    """A queue of agents; `threads` read and compress."""

    def __init__(self, commits: Commits, reader: Reader, threads: ThreadPoolExecutor) -> None:
        self._commits = commits
        self._reader = reader
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, agent: str) -> None:
        """This agent's snapshot has blocks that nobody will change soon."""
        self._waiting[agent] = None
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Begins nothing more, and lets what is under way end."""
        self._waiting.clear()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while self._waiting:
            agent = next(iter(self._waiting))
            del self._waiting[agent]
            try:
                await self._fold(agent)
            except Exception:  # a snapshot stays right without it, only larger
                log.exception("the snapshot of %s was not folded", agent)

    async def _fold(self, agent: str) -> None:
        for part in await self._loop.run_in_executor(self._threads, self._reader.snapshots.unfolded_parts, agent):
            fold = await self._loop.run_in_executor(self._threads, self._folded, agent, part)
            if fold is not None and self._commits.failed is None:
                await self._commits.apart(Changes(snapshot_folds=[fold]))

    def _folded(self, agent: str, part: int) -> SnapshotFold | None:
        stored = self._reader.snapshots.part(agent, part)
        if stored is None or not stored.blocks:
            return None
        data = folded(part, stored.data, stored.blocks)
        return SnapshotFold(agent, stored.info.agent_id, stored.info.generation, part, data)
