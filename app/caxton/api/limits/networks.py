"""What counts as one address.

Owns that choice. Must never look anything up.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

_CACHED: Final = 4_096
_IPV6_PREFIX: Final = 64
"""A network of this size is one customer's, who may take any address of it for each request."""


@lru_cache(_CACHED)
def network_of(address: str) -> str:
    """An IPv4 address as it is; of an IPv6 address its /64; of one that is mapped, the IPv4 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> _IPV6_PREFIX << _IPV6_PREFIX, _IPV6_PREFIX)))
