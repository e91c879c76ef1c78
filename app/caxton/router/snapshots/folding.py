"""Snapshots of agents that left memory are made small: blocks go into their parts, compressed.

Owns when that happens: off the way of any message, a few agents at a time. Must never change what a snapshot holds;
an agent that goes on meanwhile is left as it is and comes again.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Final

from caxton.protocol.agents import MEBI
from caxton.protocol.memory_parts import folded
from caxton.router.commits import Commits
from caxton.store import Changes, SnapshotFold
from caxton.store.reader import Reader

_BATCH: Final = 64
_BATCH_BYTES: Final = 8 * MEBI
"""Agents, and about how many compressed bytes, that share a commit."""

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
            batch = list(islice(self._waiting, _BATCH))
            try:
                done, folds = await self._loop.run_in_executor(self._threads, self._folded, batch)
                for agent in batch[:done]:
                    self._waiting.pop(agent, None)
                if folds and self._commits.failed is None:
                    await self._commits.apart(Changes(snapshot_folds=folds))
            except Exception:  # snapshots stay right without it, only larger
                log.exception("snapshots were not folded")
                for agent in batch:
                    self._waiting.pop(agent, None)

    def _folded(self, agents: list[str]) -> tuple[int, list[SnapshotFold]]:
        """In a thread: how many of the agents it got to, and their folds, which share a commit."""
        folds: list[SnapshotFold] = []
        for done, agent in enumerate(agents):
            if sum(len(fold.data) for fold in folds) > _BATCH_BYTES:
                return done, folds
            folds += self._folds(agent)
        return len(agents), folds

    def _folds(self, agent: str) -> list[SnapshotFold]:
        found = []
        for part in self._reader.snapshots.unfolded_parts(agent):
            stored = self._reader.snapshots.part(agent, part)
            if stored is not None and stored.blocks:
                data = folded(part, stored.data, stored.blocks)
                found.append(SnapshotFold(agent, stored.info.agent_id, stored.info.generation, part, data))
        return found
