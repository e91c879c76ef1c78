"""Connections to checked addresses only.

Owns name resolution and its check: a name is resolved once, and the connection goes to an address of that very
answer, so no second answer can lead elsewhere. Must never send anything itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpcore

from caxton.router.egress import addresses

RESOLVERS: Final = 8
"""Threads that may wait for a name server at once; they are shared by nothing else."""
Networks = Callable[[], Sequence[addresses.Network]]


class Refused(Exception):
    """The address may not be reached."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """`allowed()` gives what the operator opened. `reached` is the last address that was connected to."""

    def __init__(self, threads: ThreadPoolExecutor, allowed: Networks) -> None:
        self._plain = httpcore.AnyIOBackend()
        self._threads = threads
        self._allowed = allowed
        self.reached: str | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first allowed address that answers; `Refused` when none is allowed."""
        allowed = [a for a in await self._resolve(host, port) if addresses.may_reach(a, self._allowed())]
        if not allowed:
            raise Refused(f"{host} leads to no address that may be reached")
        problem: Exception | None = None
        for address in allowed:
            try:
                stream = await self._plain.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
            else:
                self.reached = str(address)
                return stream
        assert problem is not None  # every address failed
        raise problem

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise Refused("no sockets of this host")

    async def sleep(self, seconds: float) -> None:
        """Between attempts, of which there is only one."""
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[addresses.Address]:
        def ask() -> list[Any]:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host}: {error}") from None
        return list(dict.fromkeys(addresses.parse(answer[4][0]) for answer in found))
