"""Under which addresses other nodes find this one, and which of the seeds are others.

Owns what `advertise_addr = "auto"` means. Must never send anything but look-ups of names, which may take their time.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from caxton.config import Config, split_address
from caxton.config.problems import Problem, Rejected, invalid

_ELSEWHERE: Final = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Addresses of no host, for documents: the way there is the default route."""
_ANY_PORT: Final = 9


def gossip_address(config: Config) -> str:
    """`"ip:port"` that serf tells other nodes; `CONFIG_INVALID` when there is none."""
    port = split_address(config.coordination.bind_addr)[1]
    named = config.coordination.advertise_addr
    host, named_port = (_own_host(config), None) if named == "auto" else _split(named)
    address = _resolve(host)
    if address is None:
        problem = Problem("coordination.advertise_addr", f"{host}, which has no address here", "an address")
        raise invalid("cluster", [problem])
    return _join(address, named_port or port)


def api_address(config: Config) -> str:
    """`"host:port"` of the API, for other nodes: the address that it listens on, a wildcard replaced."""
    host, port = split_address(config.networking.bind_address)
    if not _is_wildcard(host):
        return _join(host, port)
    named = config.coordination.advertise_addr
    return _join(_own_host(config) if named == "auto" else _split(named)[0], port)


def other_seeds(config: Config) -> list[str]:
    """The seeds without this node: who joins itself has joined, for serf, and does not try the others again."""
    return [seed for seed in config.coordination.seeds if not _is_own(config, seed)]


def _own_host(config: Config) -> str:
    """The address that `auto` stands for: the one listened on, else the one from which the seeds are reached."""
    host = split_address(config.coordination.bind_addr)[0]
    if not _is_wildcard(host):
        return host
    for seed in config.coordination.seeds:
        seed_host, port = split_address(seed)
        address = _resolve(seed_host)
        source = None if address is None else _source(address, port)
        if source is not None:
            return source
    for address, _ in _ELSEWHERE:
        source = _source(address, _ANY_PORT)
        if source is not None:
            return source
    hint = "name the address under which the other nodes reach this one"
    raise invalid("cluster", [Problem("coordination.advertise_addr", "auto, and no route", "an address", hint)])


def _source(address: str, port: int) -> str | None:
    """The address of this host that packets to `address` carry; nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _is_own(config: Config, seed: str) -> bool:
    bound, own_port = split_address(config.coordination.bind_addr)
    host, port = split_address(seed)
    address = _resolve(host)
    if port != own_port or address is None:
        return False
    if not _is_wildcard(bound):
        return address == _resolve(bound)
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            return True
    except OSError:
        return False


def _resolve(host: str) -> str | None:
    """The first address of a name; an address is its own."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
    except OSError:
        return None


def _split(named: str) -> tuple[str, int | None]:
    """`advertise_addr`: a host with or without a port, IPv6 with or without brackets."""
    try:
        return str(ipaddress.ip_address(named)), None
    except ValueError:
        pass
    try:
        return split_address(named)
    except Rejected:
        return named, None


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
