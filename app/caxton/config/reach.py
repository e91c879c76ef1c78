"""How a process on this host reaches the node's public API.

Owns that one connection's address and TLS. Must never open it, nor check whose certificate answers: it names the
public address, and only what our own processes say is asked here.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl

from caxton.config.kinds import reachable, split_address
from caxton.config.sections import Config, Networking


def public_connection(config: Config, seconds: float) -> http.client.HTTPConnection:
    """Not open yet; what it waits for has `seconds`."""
    net = config.networking
    host, port = split_address(reachable(net.bind_address))
    if net.tls_enabled:
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=_as_the_node(net))
    return http.client.HTTPConnection(host, port, timeout=seconds)


def _as_the_node(net: Networking) -> ssl.SSLContext:
    """Shows the node's own certificate where clients have to show one, and we may read it."""
    context = ssl._create_unverified_context()  # nosec B323 # our own node on this host, whatever its name is
    if net.tls_client_auth == "required" and net.tls_cert_path is not None:
        with contextlib.suppress(OSError, ValueError):
            context.load_cert_chain(net.tls_cert_path, net.tls_key_path, password="")  # nosec B106 # never asks
    return context
