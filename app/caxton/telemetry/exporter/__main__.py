"""`python -m caxton.telemetry.exporter`, started by a router: takes spans from a socket until its stdin ends.

Owns the queue between the node and the collector, and its bound. Must never answer who sends spans.

The first line of its stdin is an `Export`; each line of its stdout is a `Counts`, for the time since its start.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from caxton.protocol.spans import Batch, Counts, Span
from caxton.telemetry.exporter.otlp import Collector
from caxton.telemetry.logs import set_up_logging
from caxton.telemetry.spans import Export

QUEUE_SPANS: Final = 8_192
EXPORT_SPANS: Final = 512
PAUSE_SECONDS: Final = 0.5
"""How long spans wait for others to be exported with them."""
PARTING_SECONDS: Final = 2.0
COMPLAIN_SECONDS: Final = 60.0
RECEIVE_BYTES: Final = 4 * 1024 * 1024
NICENESS: Final = 10
log = logging.getLogger(__name__)


class Exporter:
    """One thread receives, another exports; between them `QUEUE_SPANS` at most."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._queue: deque[tuple[str, Span]] = deque()
        self._counts = Counts()
        self._lock = threading.Lock()
        self._decode = msgspec.msgpack.Decoder(Batch).decode
        self._complained = 0.0
        self.ending = threading.Event()

    def receive(self, listener: socket.socket) -> None:
        """Takes what comes, for ever."""
        while True:
            try:
                self._queued(self._decode(listener.recv(RECEIVE_BYTES)))
            except msgspec.MsgspecError:
                log.warning("a datagram that is no spans was left out")

    def export(self) -> None:
        """Exports what is queued until `ending` is set and nothing is left."""
        while True:
            ending = self.ending.wait(PAUSE_SECONDS) if len(self._queue) < EXPORT_SPANS else self.ending.is_set()
            self._export_some()
            self._tell()
            if ending and not self._queue:
                return

    def _queued(self, batch: Batch) -> None:
        room = max(0, QUEUE_SPANS - len(self._queue))
        self._queue.extend((batch.service, span) for span in batch.spans[:room])
        dropped = batch.dropped + len(batch.spans[room:])
        if dropped:
            self._count(Counts(dropped=dropped))

    def _export_some(self) -> None:
        spans = list(islice(self._queue, EXPORT_SPANS))
        if not spans:
            return
        taken = self._collector.take(spans)
        for _ in spans:
            self._queue.popleft()
        self._count(Counts(exported=len(spans)) if taken else Counts(failed=len(spans)))
        now = time.monotonic()
        if not taken and (not self._complained or now - self._complained >= COMPLAIN_SECONDS):
            self._complained = now
            log.warning("the collector takes no spans; requests go on as ever; %s so far", self._counts)

    def _count(self, more: Counts) -> None:
        with self._lock:
            self._counts = self._counts.plus(more)

    def _tell(self) -> None:
        try:
            os.write(sys.stdout.fileno(), msgspec.json.encode(self._counts) + b"\n")
        except OSError:  # the router is gone: nobody is left to tell
            self.ending.set()


def main() -> int:
    """Until stdin ends: that is how it knows that its router did, however that was."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal's Ctrl-C: the router's last spans are yet to come
        signal.signal(number, signal.SIG_IGN)
    told = msgspec.json.decode(sys.stdin.buffer.readline(), type=Export)
    set_up_logging(told.settings, "exporter")
    try:
        os.nice(NICENESS)
    except OSError:
        pass  # the unit forbids it; its weight is the router's then
    exporter = Exporter(Collector(told))
    exporting = threading.Thread(target=exporter.export, daemon=True)
    listener = _listen(Path(told.socket))
    exporting.start()
    threading.Thread(target=exporter.receive, args=(listener,), daemon=True).start()
    sys.stdin.buffer.read()
    exporter.ending.set()
    exporting.join(PARTING_SECONDS)
    return 0


def _listen(path: Path) -> socket.socket:
    """As the router's own socket: the node's group may write to it. One of an earlier exporter is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    previous = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    return listener


if __name__ == "__main__":
    sys.exit(main())
