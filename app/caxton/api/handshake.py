"""From a connection to one that is encrypted, within a time that no client can stretch.

Owns the handshake of TLS. Must never hold anything for a client that does not begin, nor for one that
does not end it.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

import gevent
from gunicorn.http.errors import ParseException

from caxton.api.parting import linger
from caxton.api.unreader import STRANGER_LINGER_BYTES

SECONDS: Final = 10.0
"""From the connection to the end of its handshake."""
_HANDSHAKE_RECORD: Final = b"\x16"


class PlainTextError(ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """Whoever is there does not speak TLS."""

    def __str__(self) -> str:
        return "this address speaks TLS: https://"


def secured(client: Any, context: ssl.SSLContext, seconds: float) -> Any:
    """The connection as a TLS socket. `PlainTextError`, or `OSError` (`ssl.SSLError` is one) when it does not come.

    No TLS state, some 20 kB, is made before the first byte: who sends none costs as little as without TLS.
    """
    client.settimeout(None)
    with gevent.Timeout(min(seconds, SECONDS), TimeoutError("no handshake")):
        first = client.recv(1, socket.MSG_PEEK)
        if not first:
            raise ConnectionError("closed before it began")
        if first != _HANDSHAKE_RECORD:
            raise PlainTextError
        wrapped = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        try:
            wrapped.do_handshake()
        except BaseException as error:
            if isinstance(error, ssl.SSLError):
                # the alert says why; a client of TLS 1.3 has sent its request by now
                linger(wrapped, STRANGER_LINGER_BYTES)
            wrapped.close()
            raise
    return wrapped
