"""The lab's bridge, its guard route, the machines' cables and the cuts between them.

Owns links, routes and filter tables with the lab's names only. Never forwards, translates or reconfigures
anything of the host: machines have no gateway, so no way out.
"""

import ipaddress
import json
import re
from collections.abc import Iterable

from lab import names
from lab.errors import Code, LabError
from lab.run import run, succeeds

# The least preferred route there can be: it only speaks when the bridge is gone. Without it, packets to a
# machine that is no more would follow the default route out of this host.
GUARD_METRIC = "4294967295"


def up(subnet: int) -> None:
    """Guard route first, then the bridge. Both may be there already."""
    bridge = names.bridge(subnet)
    run("ip", "route", "replace", "unreachable", names.network(subnet), "metric", GUARD_METRIC)
    if not exists(bridge):
        run("ip", "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    run("ip", "link", "set", bridge, "addrgenmode", "none")
    run("ip", "address", "replace", f"{names.gateway(subnet)}/24", "dev", bridge)
    run("ip", "link", "set", bridge, "up")


def down(subnet: int) -> None:
    """Removes filter, bridge and, last, the guard route; what is not there is no error. The machines are ended."""
    partition(subnet, ())
    unlink(names.bridge(subnet))
    guard = (names.network(subnet), "metric", GUARD_METRIC)
    if run("ip", "route", "show", "type", "unreachable", *guard):
        run("ip", "route", "delete", "unreachable", *guard)


def bridges() -> list[int]:
    """The subnets that have a lab's bridge."""
    links = json.loads(run("ip", "-json", "link", "show", "type", "bridge"))
    found = (re.fullmatch(names.bridge(0)[:-1] + r"(\d+)", link["ifname"]) for link in links if link)
    return [int(match[1]) for match in found if match]


def exists(link: str) -> bool:
    """Whether there is a network interface of this name."""
    return succeeds("ip", "link", "show", "dev", link)


def unlink(link: str) -> None:
    """Removes an interface, or sees that it is gone: a machine's cable vanishes some time after the machine."""
    if not succeeds("ip", "link", "delete", link) and exists(link):
        raise LabError(Code.FAILED, f"interface {link} cannot be removed")


def plug(subnet: int, host: str, connected: bool) -> None:
    """Pulls the machine's cable out of the bridge, or puts it back."""
    run("ip", "link", "set", names.link(subnet, host), "up" if connected else "down")


def partition(subnet: int, cuts: Iterable[tuple[str, str]]) -> None:
    """Makes these the pairs of machines that cannot reach each other, in one step; this host reaches all of them."""
    table = f"table bridge {names.filter_table(subnet)}"
    if not (pairs := [(names.link(subnet, a), names.link(subnet, b)) for a, b in cuts]):
        succeeds("nft", "delete", *table.split())
        return
    rules = "\n".join(
        f'iifname "{source}" oifname "{target}" drop' for a, b in pairs for source, target in ((a, b), (b, a))
    )
    chain = f"chain cuts {{\ntype filter hook forward priority 0; policy accept;\n{rules}\n}}"
    run("nft", "-f", "-", stdin=f"{table}\ndelete {table}\n{table} {{\n{chain}\n}}\n")


def check_free(subnet: int) -> None:
    """Refuses a subnet that this host uses for something else.

    Raises:
        LabError: REFUSED when an interface other than the lab's own has an address in it.
    """
    wanted = ipaddress.IPv4Network(names.network(subnet))
    for interface in json.loads(run("ip", "-4", "-json", "address")):
        if interface["ifname"] == names.bridge(subnet):
            continue
        for address in interface["addr_info"]:
            if wanted.overlaps(ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}").network):
                raise LabError(Code.REFUSED, f"{wanted} is in use on interface {interface['ifname']}")
