"""Who is at the other end: the client's address and scheme, as far as proxies that are trusted say so.

Owns the meaning of X-Forwarded-For and X-Forwarded-Proto, for every request alike. Must never believe a peer
outside of `[security] trusted_proxies`, nor refuse a request for what it says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from caxton.api.plain import Environ

CLIENT: Final = "REMOTE_ADDR"
SCHEME: Final = "wsgi.url_scheme"
PEER: Final = "caxton.peer"
"""The address that the connection came from, whoever is behind it."""
_FOR: Final = "HTTP_X_FORWARDED_FOR"
_PROTO: Final = "HTTP_X_FORWARDED_PROTO"
_MOST_HOPS: Final = 50
_SCHEMES: Final = frozenset({"http", "https"})
_CACHED: Final = 4_096
_CACHED_BYTES: Final = 200
"""A chain that is no longer is worth remembering: reading an address costs more than the rest of a request's head."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """`networks`: whose word counts."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        self.trusts: Callable[[str], bool] = lru_cache(_CACHED)(self._look_up)
        """Whether an address is one of theirs."""
        self._known = lru_cache(_CACHED)(self.client)

    def apply(self, environ: Environ) -> None:
        """Makes `REMOTE_ADDR` the client's address and `wsgi.url_scheme` its scheme; `PEER` is what it was."""
        peer = environ[PEER] = environ.get(CLIENT, "")
        if (_FOR in environ or _PROTO in environ) and self.trusts(peer):
            if _FOR in environ:
                forwarded = environ[_FOR]
                client = self._known if len(forwarded) <= _CACHED_BYTES else self.client
                environ[CLIENT] = client(peer, forwarded)
            scheme = environ.get(_PROTO, "").rpartition(",")[2].strip().lower()
            if scheme in _SCHEMES:
                environ[SCHEME] = scheme

    def client(self, peer: str, forwarded: str) -> str:
        """The right-most address of the chain that is not a trusted proxy's: what the last of these was told by.

        `forwarded`: all values of the header in their order. What is no address ends the chain: whoever wrote that
        is the last one known.
        """
        client = peer
        for hop in reversed(forwarded.split(",")[-_MOST_HOPS:]):
            if not self.trusts(client):
                break
            address = _address(hop.strip())
            if address is None:
                break
            client = str(address)
        return client

    def _look_up(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    """An address as proxies write it: with a port, in brackets; an IPv4 address in IPv6's clothes is IPv4."""
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not (port[0] == ":" and port[1:].isdigit()):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdigit():
            return None
    try:
        address: Any = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped: Address | None = getattr(address, "ipv4_mapped", None)
    return mapped or address
