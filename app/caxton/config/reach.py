"""How a process on this host reaches the node's public API.

Owns that one connection's address and TLS. Must never open it, nor check whose certificate answers: it names the
public address, and only what our own processes say is asked here.
"""

from __future__ import annotations

import http.client
import ssl

from caxton.config.kinds import reachable, split_address
from caxton.config.sections import Config


def public_connection(config: Config, seconds: float) -> http.client.HTTPConnection:
    """Not open yet; what it waits for has `seconds`."""
    host, port = split_address(reachable(config.networking.bind_address))
    if config.networking.tls_enabled:
        context = ssl._create_unverified_context()  # nosec B323 # our own node on this host, whatever its name is
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    return http.client.HTTPConnection(host, port, timeout=seconds)
