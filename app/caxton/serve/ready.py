"""Asks a node whether it is ready, and tells the user where it is.

Owns the words that `caxton serve` prints. Must never wait longer than a moment.
"""

from __future__ import annotations

import http.client

import msgspec

from caxton import __version__
from caxton.config import Config, public_connection, reachable

_TIMEOUT_SECONDS = 1.0


class _Answer(msgspec.Struct):
    reasons: list[str] = []


def reasons_not_ready(config: Config) -> list[str]:
    """Empty when GET /ready answers 200; else why not (`api` when nobody answers)."""
    connection = public_connection(config, _TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        body = response.read(65_536)
        if response.status == 200:
            return []
        return msgspec.json.decode(body, type=_Answer).reasons or ["unknown"]
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return ["api"]
    finally:
        connection.close()


def banner(config: Config) -> str:
    """What a person wants to know about the node that has just become ready."""
    net, scheme = config.networking, "https" if config.networking.tls_enabled else "http"
    lines = [f"caxton {__version__} is ready", f"  API      {scheme}://{reachable(net.bind_address)}/api/v1"]
    if config.observability.enable_metrics:
        lines.append(f"  metrics  {scheme}://{reachable(net.metrics_address)}/metrics")
    lines += [f"  admin    {scheme}://{reachable(net.admin_address)}", f"  data     {config.paths.data}"]
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines)
