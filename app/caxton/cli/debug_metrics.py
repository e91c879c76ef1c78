"""The metrics of the node on which an agent lives, for its archive.

Owns where they are asked for. Must never send a credential there, nor ask a host that may be another one.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from caxton.cli.target import Target
from caxton.config import is_loopback, split_address
from caxton.protocol.errors import CaxtonError, Code

SECONDS: Final = 10.0
_INSTEAD: Final = "figures.json has the numbers"
_EVERYWHERE: Final = ("0.0.0.0", "::")  # nosec B104 # compared with, not bound to


def scrape(target: Target, node: str, asked: str | None, config: list[dict[str, Any]]) -> bytes:
    """What `/metrics` says; `UNREACHABLE` where it cannot be reached from here. `asked`: the node at `target`."""
    if node != asked:
        raise CaxtonError(Code.UNREACHABLE, f"it lives on {node}, ask that for them; {_INSTEAD}")
    settings = {one["key"]: one["value"] for one in config}
    address = str(settings["networking.metrics_address"])
    host, port = split_address(address)
    ours = urlsplit(target.url).hostname or ""
    if host in _EVERYWHERE:
        address = _address(ours, port)
    elif is_loopback(address) and not is_loopback(_address(ours, port)):
        raise CaxtonError(Code.UNREACHABLE, f"they are at {address} of that host only; {_INSTEAD}")
    scheme = "https" if settings.get("networking.tls_enabled") else "http"
    return _get(f"{scheme}://{address}/metrics", target)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _get(url: str, target: Target) -> bytes:
    import httpx  # here, because it takes 100 ms to import

    try:
        answer = httpx.get(url, timeout=SECONDS, verify=target.tls() or True, follow_redirects=False)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CaxtonError(Code.UNREACHABLE, f"{url}: {error}; {_INSTEAD}") from None
    return answer.content
