"""The workers of one router: a standing pool, and workers of their own for single agents.

Owns which workers should be running: a pool worker that ends is replaced at once, with back-off while it
dies young. Must never outlive its router: `close` ends every worker.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Final

from caxton import __version__
from caxton.executor import processes
from caxton.executor.artifacts import ArtifactCache
from caxton.executor.supervisor.settings import MOST_PATIENCE, Settings
from caxton.executor.supervisor.worker import Down, Worker
from caxton.protocol.control import Reach, WorkerDown, WorkerUp
from caxton.telemetry.logs import event

YOUNG_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 5.0
"""So long the pulses may go without a look."""
_ids = count(1)
"""Never repeated while the supervisor lives, so that no router mistakes one worker for another."""

Send = Callable[[WorkerUp | WorkerDown, int | None], None]


class Pool:
    """Runs `size` workers with tag "" and those that `spawn` asks for. `send(frame, descriptor)` tells the router."""

    def __init__(
        self, settings: Settings, cache: ArtifactCache, node: str, size: int, send: Send, reach: Reach = Reach.NOTHING
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._node = node
        self._send = send
        self._reach = reach
        self._workers: dict[int, Worker] = {}
        self._unreplaced: set[int] = set()
        self._early_deaths = 0
        self._patience = 1
        self._tasks: set[asyncio.Task[object]] = set()
        self._looked = time.monotonic()
        for _ in range(size):
            self._run(self._keep_one())
        self._poller = asyncio.ensure_future(self._poll())

    async def close(self) -> None:
        """SIGKILLs every worker and waits until all are reaped."""
        self._poller.cancel()
        for worker in self._workers.values():
            worker.kill("killed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._poller, *self._tasks, return_exceptions=True)

    def spawn(self, tag: str, reach: Reach = Reach.NOTHING) -> None:
        """Starts a worker of its own; it is not replaced when it ends."""
        self._run(self._tagged(tag, reach))

    def kill(self, worker_id: int) -> None:
        """SIGKILLs a worker; an unknown one has ended already. A pool worker is replaced, a tagged one is not."""
        worker = self._workers.get(worker_id)
        if worker:
            worker.kill("killed")

    def recycle(self, worker_id: int, *, replace: bool) -> None:
        """Ends a worker that its router has drained, and starts another of its tag if `replace`."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        if worker.tag and replace:
            self.spawn(worker.tag, worker.reach)
        elif not worker.tag and not replace:
            self._unreplaced.add(worker_id)
        worker.kill("recycled")

    def replace(self, worker_id: int) -> None:
        """Fills a worker's place with another while it lives on; from now on nobody follows on it."""
        worker = self._workers.get(worker_id)
        if worker is None or worker_id in self._unreplaced:
            return
        if worker.tag:
            self.spawn(worker.tag, worker.reach)
        else:
            self._unreplaced.add(worker_id)
            self._run(self._keep_one())

    def resident_bytes(self) -> dict[int, int]:
        """Resident memory of every worker by id, read now: what a ceiling on it would look at."""
        return {worker_id: processes.rss_bytes(worker.pid) for worker_id, worker in self._workers.items()}

    def is_well(self, now: float) -> bool:
        """Whether the workers answer (`now` by CLOCK_MONOTONIC): each moved its pulse lately, or is being replaced.

        Not so when nobody has looked at the pulses for a while, or when a worker outlives its SIGKILL.
        """
        looked = now - self._looked < max(LOOK_SECONDS, 4 * self._settings.poll_seconds)
        return looked and not any(worker.undead(now) for worker in self._workers.values())

    @property
    def up(self) -> int:
        """Workers that are ready."""
        return sum(worker.ready for worker in self._workers.values())

    def _run(self, work: Coroutine[None, None, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_one(self) -> None:
        """Keeps one place of the standing pool filled."""
        while True:
            try:
                worker_id, down = await self._one("", self._reach)
            except OSError as error:
                event("worker cannot be started", detail=str(error))
                worker_id, down = 0, Down("crashed", None, 0, 0.0)
            if worker_id in self._unreplaced:
                self._unreplaced.discard(worker_id)
                return
            if down.reason in ("crashed", "killed_syscall") and down.lived_seconds < YOUNG_SECONDS:
                pause = min(FIRST_PAUSE_SECONDS * 2**self._early_deaths, LONGEST_PAUSE_SECONDS)
                self._early_deaths = min(self._early_deaths + 1, 10)
                await asyncio.sleep(pause)
            else:
                self._early_deaths = 0

    async def _tagged(self, tag: str, reach: Reach) -> None:
        try:
            await self._one(tag, reach)
        except OSError as error:  # whoever asked may ask again
            event("worker cannot be started", tag=tag, detail=str(error))
            self._send(WorkerDown(next(_ids), tag, "crashed", None, 0), None)

    async def _one(self, tag: str, reach: Reach) -> tuple[int, Down]:
        """One worker from its start to its end."""
        patience = self._patience
        settings = dataclasses.replace(self._settings, ready_seconds=self._settings.ready_seconds * patience)
        worker = Worker(next(_ids), tag, self._node, settings, self._cache, self._up, reach)
        self._workers[worker.worker_id] = worker
        try:
            down = await worker.watch()
        except asyncio.CancelledError:
            worker.kill("killed")
            await worker.watch()
            raise
        finally:
            self._workers.pop(worker.worker_id, None)
        if worker.ready:
            self._patience = 1
        elif down.lived_seconds > settings.ready_seconds:  # a busy host: the next one would need as long
            self._patience = min(2 * patience, MOST_PATIENCE)
        if worker.ready or tag:  # the router was told of it or waits for it
            self._send(WorkerDown(worker.worker_id, tag, down.reason, down.culprit, down.status), None)
        if down.reason in ("crashed", "killed_timeout", "killed_silent", "killed_syscall"):
            event(
                "worker ended", worker=worker.worker_id, reason=down.reason, culprit=down.culprit, status=down.status
            )
        return worker.worker_id, down

    def _up(self, worker: Worker) -> None:
        self._send(WorkerUp(worker.worker_id, worker.pid, worker.tag, __version__), worker.router_end.fileno())
        worker.router_end.close()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            now = time.monotonic()
            for worker in self._workers.values():
                worker.check(now)
            self._looked = now
