"""The router's Unix socket: where API workers and the local CLI are answered.

Owns the listening socket, its file and its permissions. Must never know what an operation does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import LINK_OPERATIONS
from caxton.router.connection import Connection, Operations

SOCKET_MODE: Final = 0o660
BACKLOG: Final = 512
MAX_CONNECTIONS: Final = 1_024
PROBE_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 2.0
MAX_PATH_BYTES: Final = 107

log = logging.getLogger(__name__)


class Server:
    """Accepts connections and keeps track of them."""

    def __init__(self, operations: Operations) -> None:
        self._operations = {name: one for name, one in operations.items() if name not in LINK_OPERATIONS}
        self._of_links = {name: one for name, one in operations.items() if name in LINK_OPERATIONS}
        self._connections: set[Connection] = set()
        self._listener: asyncio.AbstractServer | None = None
        self._path: Path | None = None

    async def start(self, path: Path) -> None:
        """Listens at `path` (0660). `CONFLICT` when a live router answers there; a dead socket is removed."""
        _require_short(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _clear(path)
        loop = asyncio.get_running_loop()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o777 & ~SOCKET_MODE)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        self._listener = await loop.create_unix_server(self._connection, sock=listener, backlog=BACKLOG)
        self._path = path

    async def close(self) -> None:
        """Takes no new connection; calls have a moment to be answered, then every connection is closed."""
        if self._listener is None or self._path is None:
            return
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._listener = None
        await _within(CLOSE_SECONDS, lambda: not any(connection.calls_in_flight for connection in self._connections))
        for connection in list(self._connections):
            connection.close()
        await _within(CLOSE_SECONDS, lambda: not self._connections)
        for connection in list(self._connections):
            connection.abort()

    def stats(self) -> dict[str, int]:
        """Connections and calls in flight now."""
        return {
            "connections": len(self._connections),
            "calls_in_flight": sum(connection.calls_in_flight for connection in self._connections),
        }

    def _connection(self) -> Connection:
        return Connection(self._operations, self._of_links, self._opened, self._connections.discard)

    def _opened(self, connection: Connection) -> bool:
        if len(self._connections) >= MAX_CONNECTIONS:
            log.error("connection refused: %d are open, the most there may be", MAX_CONNECTIONS)
            return False
        self._connections.add(connection)
        return True


async def _within(seconds: float, condition: Callable[[], bool]) -> None:
    """Returns when `condition` holds, at the latest after `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition() and loop.time() < end:
        await asyncio.sleep(0.01)


def _require_short(path: Path) -> None:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"{path}: longer than {MAX_PATH_BYTES} bytes, too long for a socket; set CAXTON_RUN_DIR to a shorter one",
            path=str(path),
        )


def _clear(path: Path) -> None:
    """Removes what an earlier router left at `path`, unless it is alive or not a socket at all."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CaxtonError(Code.CONFLICT, f"{path} is there and is not a socket; remove it", path=str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise CaxtonError(Code.CONFLICT, f"{path} cannot be taken over: {error}", path=str(path)) from error
    raise CaxtonError(Code.CONFLICT, f"another router answers at {path}; stop it first", path=str(path))
