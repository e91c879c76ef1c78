"""One router's connection: its requests, its workers, its compilations.

Owns what ends when the router goes: everything. Must never let anything in memory pass from one router to
the next.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Final

import msgspec

from caxton.executor.artifacts import ArtifactCache
from caxton.executor.compiler.queue import Compiler
from caxton.executor.supervisor.link import Link
from caxton.executor.supervisor.pool import Pool
from caxton.executor.supervisor.settings import Settings, share_of
from caxton.protocol.agents import Profile
from caxton.protocol.control import (
    FromSupervisor,
    Hello,
    KillWorker,
    Prepare,
    Prepared,
    Progress,
    RecycleWorker,
    ReplaceWorker,
    SpawnWorker,
    ToSupervisor,
)
from caxton.protocol.errors import CaxtonError, Code
from caxton.telemetry.logs import event

MAX_WORKERS: Final = 256
_MAX_FRAME_BYTES: Final = 65_536
_frames: msgspec.msgpack.Decoder[ToSupervisor] = msgspec.msgpack.Decoder(ToSupervisor)


class Session:
    """Serves one router until it goes; then `ended(session)` is called and `close` must follow."""

    def __init__(
        self,
        connection: socket.socket,
        settings: Settings,
        cache: ArtifactCache,
        compiler: Compiler,
        ended: Callable[[Session], None],
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._compiler = compiler
        self._ended = ended
        self._pool: Pool | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._link = Link(connection, self._received, self._router_lost, _MAX_FRAME_BYTES)

    def is_over(self) -> bool:
        """Whether the router has closed its side."""
        return self._link.at_end()

    def is_well(self, now: float) -> bool:
        """Whether its workers answer; see `Pool.is_well`."""
        return self._pool is None or self._pool.is_well(now)

    def describe(self) -> str:
        """One line for people."""
        return "a router connects" if self._pool is None else f"{self._pool.up} workers run"

    async def close(self) -> None:
        """Ends every worker and compilation of this router, and waits until they are gone."""
        self._link.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pool:
            await self._pool.close()

    def _router_lost(self, why: str) -> None:
        event("router gone", detail=why)
        self._ended(self)

    def _received(self, body: bytes) -> None:
        frame = _frames.decode(body)
        if isinstance(frame, Hello):
            self._hello(frame)
        elif isinstance(frame, Prepare):
            self._run(self._prepare(frame, self._link.take_descriptor()))
        elif self._pool is None:
            raise CaxtonError(Code.PROTOCOL_VIOLATION, "the first frame of a router is Hello")
        elif isinstance(frame, SpawnWorker):
            self._pool.spawn(frame.tag, frame.reach)
        elif isinstance(frame, KillWorker):
            self._pool.kill(frame.worker_id)
        elif isinstance(frame, RecycleWorker):
            self._pool.recycle(frame.worker_id, replace=frame.replace)
        elif isinstance(frame, ReplaceWorker):
            self._pool.replace(frame.worker_id)

    def _hello(self, hello: Hello) -> None:
        if not 0 <= hello.workers <= MAX_WORKERS:
            raise CaxtonError(
                Code.PROTOCOL_VIOLATION,
                f"Hello asks for {hello.workers} workers",
                found=hello.workers,
                allowed=MAX_WORKERS,
            )
        settings = share_of(self._settings, hello.workers)
        former = self._pool
        self._pool = Pool(settings, self._cache, hello.node, hello.workers, self._send, hello.reach)
        if former:
            self._run(former.close())

    def _run(self, work: Coroutine[None, None, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, frame: FromSupervisor, descriptor: int | None = None) -> None:
        self._link.send(frame, descriptor)

    async def _prepare(self, request: Prepare, module_fd: int) -> None:
        """Answers one `Prepare`; whatever happens, the router gets a `Prepared`."""
        try:
            try:
                _check(request, self._settings.wasm_features)
            except CaxtonError:
                os.close(module_fd)
                raise
            done = await self._compiler.prepare(
                request.sha256,
                request.profile,
                module_fd,
                lambda used: self._send(Progress(request.request_id, used)),
                snapshot=request.snapshot,
            )
            answer = Prepared(request.request_id, done.info, done.cached)
        except CaxtonError as error:
            answer = Prepared(request.request_id, None, error=error.body())
        except OSError as error:
            event("preparing a module failed", sha256=request.sha256, detail=str(error))
            body = CaxtonError(Code.INTERNAL_ERROR, f"the executor cannot compile: {error.strerror}").body()
            answer = Prepared(request.request_id, None, error=body)
        self._send(answer)


def _check(request: Prepare, features: tuple[str, ...]) -> None:
    if len(request.sha256) != 64 or request.sha256.strip("0123456789abcdef"):
        raise CaxtonError(Code.INVALID_REQUEST, "sha256 must be 64 lower-case hexadecimal digits", path="sha256")
    if request.profile is Profile.THREADS and "threads" not in features:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "profile: this node does not offer threads; its operator would list them in [runtime] wasm_features",
            path="config.profile",
            found=request.profile,
            allowed=[profile for profile in Profile if profile is not Profile.THREADS],
        )
