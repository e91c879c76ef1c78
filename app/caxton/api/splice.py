"""A connection whose bytes are passed on to the router and back, until either end has had enough.

Owns both sockets from the answer `101` on. Must never understand a byte: frames are cut where the network cut them.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

import gevent

from caxton.protocol.peers import LINK_UPGRADE

READ_BYTES: Final = 256 * 1024
_SWITCHED: Final = (
    f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {LINK_UPGRADE}\r\n\r\n".encode()
)


class Splice:
    """`router`: the connection to it. A node that sends nothing for `seconds`, or takes nothing, is gone."""

    counted = False  # the other node's limit is not its address's

    def __init__(self, router: Any, seconds: float) -> None:
        self._router = router
        self._seconds = seconds
        self._inward: Any = None
        self._ending = False

    def serve(self, client: Any, early: bytes) -> None:
        """Says `101` and passes on; returns when it is over. `early`: what the client has sent already."""
        try:
            client.settimeout(self._seconds)
            client.sendall(_SWITCHED)
            if early:
                self._router.sendall(early)
            self._inward = gevent.spawn(self._take, client)
            _pass_on(self._router, client)
        except OSError:
            pass  # one of the two is gone; the other is told by the end of its connection
        finally:
            if self._inward is not None:
                self._inward.kill()
            self._router.close()

    def end(self) -> None:
        """The worker is to end: nothing more is taken. The router tells the node so, answers what it has, closes."""
        self._ending = True
        if self._inward is not None:
            self._inward.kill(block=False)
        with contextlib.suppress(OSError):
            self._router.shutdown(socket.SHUT_WR)

    def _take(self, client: Any) -> None:
        try:
            _pass_on(client, self._router)
        except OSError:
            pass
        if self._ending:
            return  # what was just read and not passed on is asked again elsewhere; the router has yet to say so
        with contextlib.suppress(OSError):
            self._router.shutdown(socket.SHUT_RDWR)


def _pass_on(source: Any, sink: Any) -> None:
    while data := source.recv(READ_BYTES):
        sink.sendall(data)
