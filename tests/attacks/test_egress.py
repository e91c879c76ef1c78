"""A guest that asks the node to fetch for it: what is inside stays inside, however it is spelled."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest

from caxton.router.egress.addresses import may_reach, networks
from caxton.router.egress.network import CheckedNetwork, Refused
from caxton.router.egress.origins import follow, parse_url
from support.web import web

SPELLINGS = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "017700000001"),
    *("0", "0.0.0.0", "00000000", "0x0", "localhost", "LOCALHOST", "localhost.", "127.0.0.1."),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:7f00:1", "::127.0.0.1", "64:ff9b::127.0.0.1"),
    *("2002:7f00:1::", "64:ff9b:1:7f00:0:100:808:808", "::ffff:0:127.0.0.1"),
    *(
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
    ),
    *("100.100.100.200", "192.0.0.192", "168.63.129.16", "10.0.0.1", "192.168.0.1", "172.16.0.1", "fe80::1"),
]


async def connect(host: str, port: int, allowed: list[str]) -> str:
    """The address that egress connects to for this host."""
    with ThreadPoolExecutor(1) as threads:
        network = CheckedNetwork(threads, lambda: networks(allowed))
        stream = await network.connect_tcp(host, port, timeout=5.0)
        await stream.aclose()
        assert network.reached is not None
        return network.reached


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_an_inner_address_is_connected_to(host: str) -> None:
    """Also when the operator has opened everything public and a network of his own."""
    with web() as inner:
        for allowed in ([], ["198.51.100.0/24", "0.0.0.0/0"] if "." in host and host.startswith("127") else []):
            with pytest.raises((Refused, httpcore.ConnectError)):
                asyncio.run(connect(host, inner.port, allowed))
        assert inner.asked == []


def answers(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """A name server under the attacker's control: every question is answered by the next of these."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def ask(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "rebind.example":
            return real(host, port, *rest, **more)
        found = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(host)
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(family[ip_address(one).version], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    return asked


def test_a_name_that_changes_after_the_check_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once: the connection goes to an address of the very answer that was checked."""
    with web() as inner:
        asked = answers(monkeypatch, ["192.0.2.1"], ["127.0.0.1"])
        with pytest.raises((Refused, httpcore.ConnectError, httpcore.ConnectTimeout)):
            asyncio.run(connect("rebind.example", inner.port, []))
        assert asked == ["rebind.example"]
        assert inner.asked == []


def test_of_an_answer_with_inner_and_outer_addresses_only_the_outer_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with web() as inner:
        answers(monkeypatch, ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"])
        with pytest.raises(Refused):
            asyncio.run(connect("rebind.example", inner.port, []))
        answers(monkeypatch, ["10.9.9.9", "127.0.0.1"])
        reached = asyncio.run(connect("rebind.example", inner.port, ["127.0.0.1"]))
        assert reached == "127.0.0.1"  # the one that the operator opened


def test_no_socket_of_the_host_is_a_way_out() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(Refused):
        asyncio.run(CheckedNetwork(threads, list).connect_unix_socket("/run/caxton/router.sock"))


LOCATIONS = [
    "http://127.0.0.1:8081/",
    "//127.0.0.1/",
    "http:127.0.0.1",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
]
LOCATIONS += [
    "unix:/run/caxton/router.sock",
    "http://granted.example@127.0.0.1/",
    "http://127.0.0.1\\@granted.example/",
]
LOCATIONS += [
    "http://granted.example\r\nHost: 127.0.0.1/",
    "http://[::ffff:127.0.0.1]/",
    "\thttp://127.0.0.1/",
    "http:///127.0.0.1/",
]


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_redirect_leads_to_an_origin_that_is_granted_or_nowhere(location: str) -> None:
    start = parse_url("http://granted.example/")
    try:
        target = follow(start, location)
    except ValueError:
        return
    assert target.origin == start.origin or not may_reach_by_name(target.host)


def may_reach_by_name(host: str) -> bool:
    """Whether the addresses that the system reads in a host may be reached."""
    try:
        found = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return False
    return any(may_reach(ip_address(one[4][0]), ()) for one in found)


def test_a_sites_own_translation_to_ipv4_is_not_read_for_it() -> None:
    """64:ff9b:1::/48 may hold the address in its middle: what its end says is not where it leads."""
    assert not may_reach(ip_address("64:ff9b:1:7f00:0:100:808:808"), ())
    assert may_reach(ip_address("64:ff9b::808:808"), ())
