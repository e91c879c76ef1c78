"""How a connection ends, so that the client reads our last word.

Owns that last word of TLS, and the wait for the client to take it. Must never wait for long.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Any, Final

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024


def say_goodbye(client: Any) -> None:
    """Tells a TLS peer that nothing was cut off; does not wait for its answer."""
    if isinstance(client, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):
            client.settimeout(0.0)
            client.unwrap()


def linger(client: Any, left: int = LINGER_BYTES) -> None:
    """Lets the client read our last answer while it still sends: closing at once would reset the connection.

    `left`: how many bytes are thrown away for that at most.
    """
    until = time.monotonic() + LINGER_SECONDS
    try:
        client.shutdown(socket.SHUT_WR)
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            client.settimeout(seconds)
            data = client.recv(256 * 1024)
            if not data:
                return
            left -= len(data)
    except OSError:
        pass
