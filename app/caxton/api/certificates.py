"""The certificate in force: read at start, and again whenever its files have changed.

Owns when a renewed certificate is taken over. Must never put one into force that does not serve, nor touch a
connection that is there: TLS that was agreed on goes on as it is.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from typing import Final

from caxton.config import Networking, server_context
from caxton.protocol.errors import CaxtonError
from caxton.telemetry import event

PATIENCE_SECONDS: Final = 10.0
"""Certificate and key are two files: so long may they not fit together before somebody is told."""
Mark = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """Made by the master, and inherited by the workers; each looks for itself from then on."""

    def __init__(self, net: Networking) -> None:
        """`CONFIG_INVALID` when the files do not serve."""
        self._net = net
        self._seen = self._mark()
        self.context: ssl.SSLContext = server_context(net)
        self._changed_at: float | None = None
        """When, by the monotonic clock, files changed that are not in force yet."""

    def refresh(self, *, tell: bool = False) -> None:
        """To be called about once a second: three stat(2). With `tell` the log says what became of a change."""
        mark, now = self._mark(), time.monotonic()
        if mark != self._seen:
            self._seen, self._changed_at = mark, now
        if self._changed_at is None:
            return
        try:
            self.context = server_context(self._net)
        except CaxtonError as error:
            if now - self._changed_at < PATIENCE_SECONDS:
                return
            if tell:
                event("certificate refused, the one before stays in force", logging.ERROR, reason=error.message)
        else:
            if tell:
                event("certificate read again, new connections get it", path=self._net.tls_cert_path)
        self._changed_at = None

    def _mark(self) -> Mark:
        """What tells a file that was written again from the one before."""
        paths = (self._net.tls_cert_path, self._net.tls_key_path, self._net.tls_ca_path)
        return tuple(_stat(path) for path in paths)


def _stat(path: str | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
