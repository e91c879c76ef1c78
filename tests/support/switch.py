"""A way to one of several nodes, as a balancer has it: where it leads can be changed while browsers use it.

Owns its port and the connections through it. Must never read what it passes on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 65_536


class Switch:
    """Passes connections on to a loopback port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])

    def to(self, target: int) -> None:
        """From now on another port; connections to the one before end."""
        self._target = target
        for one in list(self._open):
            _end(one)

    def serve(self) -> None:
        """Until `close`."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Ends everything."""
        _end(self._door)
        self._door.close()
        self.to(0)

    def _pass_on(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as node:
            self._open |= {client, node}
            back = threading.Thread(target=_pump, args=(node, client), daemon=True)
            back.start()
            _pump(client, node)
            back.join()
            self._open -= {client, node}


def _pump(source: socket.socket, target: socket.socket) -> None:
    """The end of one way ends the other: browsers begin anew."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def switch(target: int) -> Iterator[Switch]:
    """One that serves meanwhile."""
    made = Switch(target)
    serving = threading.Thread(target=made.serve)
    serving.start()
    try:
        yield made
    finally:
        made.close()
        serving.join()
