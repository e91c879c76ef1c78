"""A listener between a balancer and a node that keeps every byte on its way there.

Owns its sockets and threads. Must never change a byte.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from gunicorn.config import Config as GunicornConfig
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader


class Tap:
    """Passes connections on to `port`; `streams` is what was sent through each."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.streams: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._server.close()

    def requests(self) -> list[Request]:
        """Every whole request on any connection, as the node's own parser reads the bytes."""
        found: list[Request] = []
        for stream in list(self.streams):
            found += parse_all(bytes(stream))
        return found

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                stream = bytearray()
                self.streams.append(stream)
                threading.Thread(target=self._pass_on, args=(client, stream), daemon=True).start()

    def _pass_on(self, client: socket.socket, stream: bytearray) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as node:
            back = threading.Thread(target=_pump, args=(node, client, bytearray()), daemon=True)
            back.start()
            _pump(client, node, stream)
            back.join()


def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    """Until one side ends; the other is told."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def gunicorn_settings() -> Any:
    """Gunicorn as the API sets it up (api/server.py), where that decides how a request is read."""
    settings = GunicornConfig()
    for name, value in {
        "limit_request_line": 8190,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
    }.items():
        settings.set(name, value)
    return settings


def parse_all(data: bytes) -> Iterator[Request]:
    """The requests in a stream of bytes, until it ends or is none any more."""
    unreader = IterUnreader(iter([data]))
    with contextlib.suppress(Exception):  # the end of the stream, or what a node would refuse
        while True:
            request = Request(gunicorn_settings(), unreader, ("127.0.0.1", 1), 1)
            request.sent = request.body.read()
            yield request
