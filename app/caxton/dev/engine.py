"""A private executor: the supervisor that a node has, with one worker, below a temporary directory.

Owns its process, the connection to it, and the one worker that is up. Must never be reached by anybody else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final

from caxton.config import PUBLIC, Config, load
from caxton.protocol.agents import ModuleInfo, Profile
from caxton.protocol.control import FromSupervisor, Hello, Prepare, Prepared, Reach, WorkerDown, WorkerUp
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import RouterFrame, WorkerFrame
from caxton.router.links import WorkerLink
from caxton.router.supervisor_link import SupervisorLink
from caxton.serve.children import Child
from caxton.serve.plan import environment, specs

START_SECONDS: Final = 60.0
_QUIET: Final = "error"


class Engine:
    """`received(frame)` gets what the worker says, `lost(reason)` is called when it has ended under its work."""

    def __init__(self, config: Config, child: Child) -> None:
        self.config = config
        self.received: Callable[[WorkerFrame], None] = lambda frame: None
        self.lost: Callable[[str], None] = lambda reason: None
        self._child = child
        self._worker: tuple[int, WorkerLink] | None = None
        self._up = asyncio.Event()
        self._numbers = count(1)
        self._preparing: dict[int, asyncio.Future[Prepared]] = {}
        hello = Hello(socket.gethostname(), 1, Reach.GRANTED)
        self._supervisor = SupervisorLink(config.paths.executor_socket, hello, self._told, self._supervisor_lost)
        self._tasks = {asyncio.get_running_loop().create_task(self._supervisor.run())}

    async def close(self) -> None:
        """Ends the connection, and with it the worker."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._worker is not None:
            self._worker[1].close()

    async def ready(self) -> int:
        """Waits for the worker; a number that is another with every worker. `NOT_READY` when none comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while not self._up.is_set():
                    self._require_alive()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._up.wait(), 0.2)
        if self._worker is None:
            raise CaxtonError(Code.NOT_READY, f"the executor has no worker after {START_SECONDS:.0f} s")
        return self._worker[0]

    def send(self, frame: RouterFrame) -> None:
        """To the worker, if there is one."""
        if self._worker is not None:
            self._worker[1].send(frame)

    async def prepare(self, module: bytes, profile: Profile, *, snapshot: bool) -> ModuleInfo:
        """Compiles in the jail as a deployment does; raises what it refuses."""
        await self.ready()
        number = next(self._numbers)
        future = self._preparing[number] = asyncio.get_running_loop().create_future()
        try:
            self._supervisor.send(
                Prepare(number, sha256(module).hexdigest(), profile, snapshot), _memory_file(module)
            )
            done = await future
        finally:
            del self._preparing[number]
        if done.error is not None:
            raise CaxtonError.from_body(done.error)
        info: ModuleInfo | None = done.info
        assert info is not None  # one of the two is there
        return info

    def _require_alive(self) -> None:
        status = self._child.ended()
        if status is not None:
            raise CaxtonError(Code.NOT_READY, f"the executor ended (exit status {status}); its own message is above")

    def _told(self, frame: FromSupervisor, fd: int | None) -> None:
        if isinstance(frame, WorkerUp) and fd is not None:
            task = asyncio.get_running_loop().create_task(self._adopt(frame.worker_id, fd))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(frame, WorkerDown):
            self._worker = None
            self._up.clear()
            self.lost(frame.reason)
        elif isinstance(frame, Prepared) and frame.request_id in self._preparing:
            self._preparing[frame.request_id].set_result(frame)

    def _supervisor_lost(self) -> None:
        """It took its worker with it."""
        self._worker = None
        self._up.clear()
        for future in self._preparing.values():
            if not future.done():
                future.set_exception(CaxtonError(Code.NOT_READY, "the executor ended while it compiled"))
        self.lost("crashed")

    async def _adopt(self, worker_id: int, fd: int) -> None:
        link = await WorkerLink.adopt(fd, self._frames, lambda: None)
        self._worker = (worker_id, link)
        self._up.set()

    def _frames(self, frames: list[WorkerFrame]) -> None:
        for frame in frames:
            self.received(frame)


@asynccontextmanager
async def engine(file: Path | None, environ: Mapping[str, str]) -> AsyncIterator[Engine]:
    """An executor with the limits and features of the node's configuration `file`; gone with its files at the end."""
    home = tempfile.mkdtemp(prefix="caxton-dev-")
    own = {
        **environ,
        "CAXTON_COORDINATION__LOCAL_STATE_PATH": f"{home}/data/local.db",
        "CAXTON_RUN_DIR": f"{home}/run",
        "CAXTON_EXECUTOR_RUN_DIR": f"{home}/run",
        "CAXTON_OBSERVABILITY__LOG_LEVEL": _QUIET,
    }
    try:
        loaded = load(file, own, needed=PUBLIC)
        spec = next(one for one in specs(loaded.config, loaded.file) if one.name == "executor")
        child = Child(spec, environment(own))
        child.start()
        try:
            made = Engine(loaded.config, child)
            try:
                yield made
            finally:
                await made.close()
        finally:
            child.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _memory_file(data: bytes) -> int:
    """A descriptor of a file that holds `data`; the caller's."""
    fd = os.memfd_create("caxton-module", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd
