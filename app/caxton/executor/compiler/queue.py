"""The queue of compilations: one at a time, first come first served, equal requests join.

Owns the way from a request to an artifact in the cache. Must never run two children at once: two
compilations of 2 GB are more than a small node has.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from caxton.executor.artifacts import ArtifactCache
from caxton.executor.compiler.run import compile_module, order_for
from caxton.protocol.agents import ModuleInfo, Profile

Progress = Callable[[float], None]
_Key = tuple[str, Profile, bool]


class Prepared(NamedTuple):
    """A module whose artifact is in the cache; `cached`: it was before the request."""

    info: ModuleInfo
    cached: bool


@dataclass(slots=True)
class _Job:
    task: asyncio.Task[Prepared]
    listeners: list[Progress] = field(default_factory=list)
    waiting: int = 0


@dataclass(slots=True)
class Compiler:
    """Compiles into `cache` for one engine configuration (`stack_bytes`, `features`)."""

    cache: ArtifactCache
    stack_bytes: int
    features: list[str]
    pulley: bool = False
    _jobs: dict[_Key, _Job] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # wakes its waiters in the order they came

    async def prepare(
        self, sha256: str, profile: Profile, module_fd: int, progress: Progress, *, snapshot: bool = False
    ) -> Prepared:
        """The module, compiled unless it is cached; rewritten first if `snapshot`. Closes `module_fd`.

        Cancelling a request ends the compilation when nobody else waits for it. Errors: see `compile_module`.
        """
        key = (sha256, profile, snapshot)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job(asyncio.ensure_future(self._run(key, module_fd)))
            job.task.add_done_callback(lambda _: os.close(module_fd))
        else:
            os.close(module_fd)
        job.listeners.append(progress)
        job.waiting += 1
        try:
            return await asyncio.shield(job.task)
        finally:
            job.waiting -= 1
            job.listeners.remove(progress)
            if not job.waiting:
                job.task.cancel()
                if self._jobs.get(key) is job:  # who asks from now on starts anew
                    del self._jobs[key]

    async def _run(self, key: _Key, module_fd: int) -> Prepared:
        sha256, profile, snapshot = key
        if cached := await self.cache.load(sha256, profile, snapshot=snapshot):
            return Prepared(cached.info, cached=True)
        async with self._turn:
            order = order_for(
                sha256,
                profile,
                self.stack_bytes,
                self.features,
                module_fd,
                snapshot=snapshot,
                pulley=self.pulley,
            )
            try:
                info = await compile_module(order, lambda used: self._tell(key, used))
            except BaseException:
                os.close(order.artifact_fd)
                raise
            await self.cache.store(profile, order.artifact_fd, info, snapshot=snapshot)
            return Prepared(info, cached=False)

    def _tell(self, key: _Key, used: float) -> None:
        job = self._jobs.get(key)
        for listener in list(job.listeners) if job else ():
            listener(used)
