"""Where a process leaves its finished spans: in datagrams for the node's exporter, never waiting for anything.

Owns the recorder of this process, the bound on what it holds, and what an exporter is told. Must never block, raise,
or know OpenTelemetry: what the exporter does not take at once is dropped and counted.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton.config import Config, Observability
from caxton.protocol.spans import Batch, Span

BATCH_SPANS: Final = 64
"""64 spans are about 32 KB: well below what one datagram may carry."""
FLUSH_SECONDS: Final = 0.2
SEND_BUFFER_BYTES: Final = 1024 * 1024
Later = Callable[[float, Callable[[], None]], Any]
"""Calls back after so many seconds, on the thread that records."""


class Export(msgspec.Struct, frozen=True):
    """What an exporter is told at its start: where spans come from, where they go, how it logs.

    `endpoint` may hold a credential. `node`: this node's name.
    """

    socket: str
    endpoint: str
    node: str
    settings: Observability


def spans_socket(config: Config) -> Path:
    """Where the exporter of this node listens."""
    return config.paths.run / "spans.sock"


class Recorder:
    """Spans of one process, named `service`. All calls come from one thread."""

    def __init__(self, path: Path, service: str, later: Later) -> None:
        self._path = str(path)
        self._service = service
        self._later = later
        self._open: list[Span] = []
        self._dropped = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def record(self, span: Span) -> None:
        """Keeps a span for the next datagram."""
        self._open.append(span)
        if len(self._open) >= BATCH_SPANS:
            self.flush()
        elif len(self._open) == 1:
            self._later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Sends what is there."""
        spans, self._open = self._open, []
        if not spans:
            return
        try:
            self._socket.sendto(self._encode(Batch(self._service, self._dropped, spans)), self._path)
            self._dropped = 0
        except OSError:  # nobody is there, or has no room now
            self._dropped += len(spans)


_recorder: Recorder | None = None


def set_up_spans(config: Config, service: str, later: Later) -> None:
    """Has this process record spans, if the configuration wants traces."""
    global _recorder
    _recorder = Recorder(spans_socket(config), service, later) if config.observability.enable_tracing else None


def recorder() -> Recorder | None:
    """None: this node makes no spans."""
    return _recorder
