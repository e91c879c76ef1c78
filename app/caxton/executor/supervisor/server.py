"""The supervisor's main loop: the socket, one router at a time, an orderly end.

Owns the executor's socket file. Must never serve two routers: each would own the same agents.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from caxton.executor.artifacts import ArtifactCache
from caxton.executor.compiler.queue import Compiler
from caxton.executor.engine_key import engine_key
from caxton.executor.supervisor import vitals
from caxton.executor.supervisor.session import Session
from caxton.executor.supervisor.settings import Settings
from caxton.protocol.errors import CaxtonError, Code
from caxton.telemetry import notify
from caxton.telemetry.logs import event


async def serve(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. `CONFLICT` when another supervisor serves the same socket."""
    _raise_file_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _listening(settings) as listener:
        settings.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        cache = ArtifactCache(
            settings.artifacts, engine_key(settings.stack_bytes, settings.wasm_features, pulley=settings.pulley)
        )
        cache.prepare()
        compiler = Compiler(cache, settings.stack_bytes, list(settings.wasm_features), settings.pulley)
        if notify.wanted():
            await vitals.self_check(settings, cache)
        server = _Server(listener, settings, cache, compiler)
        event("executor ready", socket=str(settings.socket), engine=cache.engine_key)
        notify.notify("READY=1")
        telling = asyncio.ensure_future(vitals.tell(server))
        try:
            await stop.wait()
        finally:
            notify.notify("STOPPING=1")
            telling.cancel()
            await server.close()
            cache.close()


class _Server:
    """Accepts routers; keeps the one that is alive."""

    def __init__(self, listener: socket.socket, settings: Settings, cache: ArtifactCache, compiler: Compiler) -> None:
        self._listener = listener
        self._settings = settings
        self._cache = cache
        self._compiler = compiler
        self._session: Session | None = None
        self._ending: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_reader(listener, self._accept)

    def is_well(self, now: float) -> bool:
        """Whether everything that should answer does (`now` by CLOCK_MONOTONIC)."""
        return self._session is None or self._session.is_well(now)

    def describe(self) -> str:
        """One line for people."""
        return "waiting for the router" if self._session is None else self._session.describe()

    async def close(self) -> None:
        """Ends the router's session and everything in it."""
        asyncio.get_running_loop().remove_reader(self._listener)
        if self._session:
            self._end(self._session)
        await asyncio.gather(*self._ending)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # gone before it was accepted, or out of descriptors: the next one may do
        if self._session and self._session.is_over():
            self._end(self._session)
        if self._session:
            event("second router refused")
            connection.close()
            return
        self._session = Session(connection, self._settings, self._cache, self._compiler, self._end)

    def _end(self, session: Session) -> None:
        if self._session is session:
            self._session = None
            task = asyncio.ensure_future(session.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket, mode 0660. A socket file that nobody serves is removed first, and ours at the end."""
    path = settings.socket
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CaxtonError(
                Code.CONFIG_INVALID, f"cannot use {path} as the executor's socket: {error.strerror}", path=str(path)
            ) from error
        else:
            raise CaxtonError(Code.CONFLICT, f"another executor serves {path}; stop it first", path=str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        mask = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(16)
        listener.setblocking(False)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _raise_file_limit() -> None:
    """A memfd per module and five descriptors per worker: more than the usual soft limit of 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
