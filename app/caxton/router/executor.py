"""The executor as the router uses it: one supervisor, its workers, prepared modules.

Owns the connection for as long as the router lives, and which modules may be run: none before the
supervisor has said that its artifact is there, also after the supervisor was replaced. Must never run a
message.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from caxton.config import Config
from caxton.protocol.agents import ModuleInfo, Profile
from caxton.protocol.control import FromSupervisor, Hello, Prepare, Prepared, Progress, WorkerDown, WorkerUp
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import WorkerFrame
from caxton.router.boxes import Box, Worker
from caxton.router.meters import Meters
from caxton.router.modules import open_verified
from caxton.router.supervisor_link import SupervisorLink
from caxton.router.workers import Lost, Workers

Module = tuple[str, Profile, bool]
"""Content, profile, and whether it was rewritten for snapshots."""


class Executor:
    """`changed()` is called when something may run that could not before."""

    def __init__(
        self,
        config: Config,
        received: Callable[[Worker, list[WorkerFrame]], None],
        lost: Lost,
        changed: Callable[[], None],
        emit: Callable[[str, dict[str, Any]], None],
        meters: Meters,
    ) -> None:
        hello = Hello(socket.gethostname(), config.runtime.executor_workers)
        self._link = SupervisorLink(config.paths.executor_socket, hello, self._told, self._supervisor_lost)
        self._changed = changed
        self._meters = meters
        self.workers = Workers(self._link.send, received, lost, changed, emit, meters, config.runtime)
        self._requests = count(1)
        self._preparing: dict[int, tuple[asyncio.Future[Prepared], Callable[[float], None]]] = {}
        self._paths: dict[Module, Path] = {}
        self._prepared: set[Module] = set()
        self._again: set[asyncio.Task[None]] = set()
        self._connection: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether a supervisor is connected and a worker of the standing pool is up."""
        return self._link.connected and bool(self.workers.standing())

    def start(self) -> None:
        """Connects, and keeps connecting."""
        self._connection = asyncio.get_running_loop().create_task(self._link.run())

    async def stop(self) -> None:
        """Closes the connection: the supervisor ends every worker of ours."""
        for task in (*self._again, self._connection):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def place(self, box: Box) -> Worker | None:
        """Where this agent's next execution runs; None = nowhere yet, `changed` will be called."""
        spec = box.spec
        if (spec.module_sha256, spec.profile, spec.snapshot) not in self._prepared:
            return None
        return self.workers.place(box)

    async def prepare(
        self,
        sha256: str,
        profile: Profile,
        module: Path,
        progress: Callable[[float], None],
        *,
        snapshot: bool = False,
    ) -> ModuleInfo:
        """Has the module compiled, unless it is. `progress` gets CPU seconds. Raises what the jail refused.

        Without a supervisor it waits for one; a compilation that its supervisor did not live to end is begun
        again with the next.
        """
        while True:
            began = time.monotonic()
            done = await self._prepare_once((sha256, profile, snapshot), module, progress)
            if done is None:
                await self._connected()
                continue
            if done.error is not None:
                refusal = CaxtonError.from_body(done.error)
                self._meters.refused[refusal.code.value] += 1
                raise refusal
            if done.info is None:
                raise CaxtonError(Code.INTERNAL_ERROR, "the executor prepared a module and did not describe it")
            self._meters.prepared["cache" if done.cached else "compiler"] += 1
            if not done.cached:
                self._meters.compiled.add(time.monotonic() - began)
            self._paths[sha256, profile, snapshot] = module
            self._prepared.add((sha256, profile, snapshot))
            self._changed()
            return done.info

    async def _prepare_once(self, wanted: Module, module: Path, progress: Callable[[float], None]) -> Prepared | None:
        if not self._link.connected:
            return None
        descriptor = await open_verified(module, wanted[0])
        number = next(self._requests)
        future: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._preparing[number] = (future, progress)
        try:
            if not self._link.send(Prepare(number, *wanted), descriptor):
                return None
            return await future
        except ConnectionError:
            return None
        finally:
            self._preparing.pop(number, None)

    async def _connected(self) -> None:
        while not self._link.connected:
            await asyncio.sleep(0.05)

    def _told(self, frame: FromSupervisor, fd: int | None) -> None:
        if isinstance(frame, WorkerUp):
            self._prepare_again()
            self.workers.up(frame, fd)
        elif isinstance(frame, WorkerDown):
            self.workers.down(frame)
        elif isinstance(frame, Progress):
            if frame.request_id in self._preparing:
                self._preparing[frame.request_id][1](frame.cpu_seconds)
        elif frame.request_id in self._preparing:
            future = self._preparing[frame.request_id][0]
            if not future.done():
                future.set_result(frame)

    def _prepare_again(self) -> None:
        """A new supervisor may have another engine: every module in use is prepared again, mostly cached."""
        missing = [module for module in self._paths if module not in self._prepared]
        for module in missing:
            path = self._paths.pop(module)
            task = asyncio.get_running_loop().create_task(self._once_more(module, path))
            self._again.add(task)
            task.add_done_callback(self._again.discard)

    async def _once_more(self, module: Module, path: Path) -> None:
        sha256, profile, snapshot = module
        try:
            await self.prepare(sha256, profile, path, lambda used: None, snapshot=snapshot)
        except (CaxtonError, OSError):
            pass  # its agents stay where they are; starting one again says why it cannot run

    def _supervisor_lost(self) -> None:
        self._prepared.clear()
        for future, _ in self._preparing.values():
            if not future.done():
                future.set_exception(ConnectionError())
        self.workers.all_lost()
