"""Which addresses a guest's request may reach.

Owns the ranges that are refused, in every form in which an address can be hidden in another. Must never
resolve a name; opens no connection (a UDP socket that sends nothing tells whose an address is).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = IPv6Network("64:ff9b::/96")
_ALSO: Final[tuple[Network, ...]] = (
    IPv4Network("100.64.0.0/10"),  # carrier-grade NAT: neither private nor global for the library
    IPv4Network("168.63.129.16/32"),  # a cloud's metadata service on a public address
    IPv4Network("192.0.0.0/24"),  # protocol assignments, among them a cloud's metadata; the library knows only some
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv6Network("::/96"),  # IPv4-compatible
    IPv6Network("64:ff9b:1::/48"),  # a site's own translation to IPv4; only the site knows how to read it
    IPv6Network("fec0::/10"),  # site-local, as private as its successor
)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR networks as the operator writes them; `ValueError` for what is neither."""
    return tuple(ip_network(text, strict=False) for text in texts)


def parse(text: str) -> Address:
    """What a resolver answered, without the zone that a link-local one may carry."""
    return ip_address(text.partition("%")[0])


def may_reach(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a connection to this address may be made; `allowed` lists what the operator opened.

    A range that is wider than loopback does not open it, and the node's own addresses are open only when they are
    listed one by one.
    """
    hidden = _inside(address)
    if hidden is not None:
        return may_reach(hidden, allowed)
    if address.is_unspecified or address.is_multicast:
        return False  # the first is this host, the second many
    if address.is_loopback:
        return any(network.is_loopback and address in network for network in allowed)
    if is_own(address):
        return any(network.num_addresses == 1 and address in network for network in allowed)
    return _is_public(address) or _listed(address, allowed)


def is_own(address: Address) -> bool:
    """Whether this host has the address: the kernel then chooses it as the sender's too. Nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return parse(probe.getsockname()[0]) == address
    except OSError:
        return False  # no way leads there


def _inside(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_reserved:
        return False
    return not any(address in network for network in _ALSO)


def _listed(address: Address, allowed: Sequence[Network]) -> bool:
    return any(address in network for network in allowed)
