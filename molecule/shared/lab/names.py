"""What a lab, a host and an address may be called, and the names on this machine that follow from them.

Pure functions. Every name that reaches a command, a path or a packet filter has passed here first.
"""

import ipaddress
import re
from collections.abc import Mapping

from lab.errors import Code, LabError

SPACE = ipaddress.IPv4Network("10.42.0.0/16")  # a lab is one /24 of it; nothing outside is ever used
LAB_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,6}")  # with the prefix it must fit an interface's name


def check_lab(name: str) -> str:
    """The name, if a lab may have it."""
    if not LAB_NAME.fullmatch(name):
        raise LabError(Code.REFUSED, f"lab name {name!r} is not like {LAB_NAME.pattern}")
    return name


def check_host(name: str) -> str:
    """The name, if a machine may have it."""
    if not HOST_NAME.fullmatch(name):
        raise LabError(Code.REFUSED, f"host name {name!r} is not like {HOST_NAME.pattern}")
    return name


def subnet_of(hosts: Mapping[str, str]) -> int:
    """The third number of the one /24 in which all these addresses lie.

    Raises:
        LabError: REFUSED for a name or an address that is not valid, one outside, or one twice.
    """
    if not hosts:
        raise LabError(Code.REFUSED, "a lab needs at least one HOST=ADDRESS")
    networks = {_network(check_host(name), address) for name, address in hosts.items()}
    if len(networks) > 1:
        raise LabError(Code.REFUSED, f"the addresses lie in several subnets: {', '.join(sorted(map(str, networks)))}")
    if len(set(hosts.values())) < len(hosts):
        raise LabError(Code.REFUSED, "two hosts have the same address")
    return networks.pop().network_address.packed[2]


def _network(host: str, text: str) -> ipaddress.IPv4Network:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise LabError(Code.REFUSED, f"{host}: {text!r} is no IPv4 address") from None
    if address not in SPACE:
        raise LabError(Code.REFUSED, f"{host}: {address} is outside {SPACE}")
    if address.packed[3] in (0, 1, 255):
        raise LabError(Code.REFUSED, f"{host}: {address} is the subnet's, the bridge's or the broadcast address")
    return ipaddress.IPv4Network(f"{address}/24", strict=False)


def network(subnet: int) -> str:
    """The lab's network."""
    return f"10.42.{subnet}.0/24"


def gateway(subnet: int) -> str:
    """The bridge's own address: where the machines reach this host. It forwards nothing."""
    return f"10.42.{subnet}.1"


def bridge(subnet: int) -> str:
    """The lab's bridge."""
    return f"caxton{subnet}"


def machine(subnet: int, host: str) -> str:
    """The name that nspawn gives the machine, unique among all labs."""
    return f"c{subnet}-{host}"


def link(subnet: int, host: str) -> str:
    """The machine's end of its cable on the bridge."""
    return f"vb-{machine(subnet, host)}"


def filter_table(subnet: int) -> str:
    """The packet filter's table in which the lab's partitions are."""
    return f"caxton_lab_{subnet}"
