"""Which addresses, URLs and headers a guest's request may have."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address

import pytest

from caxton.protocol.errors import CaxtonError
from caxton.router.egress.addresses import is_own, may_reach, networks
from caxton.router.egress.origins import check_grants, follow, is_granted, parse_url
from caxton.router.egress.request import parse_request

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.8.8.8 168.63.129.16 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.192 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250
240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::a00:1 2002:7f00:1:: 2002:a9fe:a9fe:: 2001:0:4136:e378:8000:63bf:f5ff:fffe fe80::1 febf::1 fc00::1
fd00:ec2::254 fec0::1 ff02::1 ff0e::1 2001:db8::1 100::1
"""


@pytest.mark.parametrize("text", REFUSED.split())
def test_what_is_not_public_is_refused(text: str) -> None:
    assert not may_reach(ip_address(text), ())


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_what_is_public_is_reached(text: str) -> None:
    assert may_reach(ip_address(text), ())


def test_an_operator_opens_networks_and_only_those() -> None:
    allowed = networks(["10.1.0.0/16", "fd00::7"])
    for text, expected in (("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.1", False), ("fd00::8", False)):
        assert may_reach(ip_address(text), allowed) is expected
    assert may_reach(ip_address("fd00::7"), allowed)


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "::", "::1", "::ffff:127.0.0.1", "224.0.0.1", "ff02::1"])
def test_even_everything_does_not_open_this_host(text: str) -> None:
    assert not may_reach(ip_address(text), networks(["0.0.0.0/0", "::/0"]))
    assert may_reach(ip_address("10.9.8.7"), networks(["0.0.0.0/0"]))
    assert may_reach(ip_address("127.0.0.1"), networks(["127.0.0.1"]))


def own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.skipif(own_address() is None, reason="this host has no address but loopback")
def test_the_nodes_own_address_is_opened_by_itself_and_not_by_a_range() -> None:
    own = ip_address(own_address() or "")
    assert is_own(own)
    assert not is_own(ip_address("192.0.2.77"))
    assert not may_reach(own, networks([f"{own}/8"]))
    assert may_reach(own, networks([str(own)]))


BAD_URLS = [
    "ftp://example.com/",
    "http:example.com",
    "http:/example.com",
    "//example.com",
    "http://",
    "http://user@example.com/",
    "http://user:secret@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: evil",
    "http://example.com/\x00",
    "http://exämple.com/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:80:80/",
    "http://[fe80::1%25eth0]/",
    "http://[::1",
    "http://-/",
    "http://" + "a" * 9000 + ".com/",
    " http://example.com/",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_url(url)


def test_a_url_is_taken_apart_once() -> None:
    target = parse_url("HTTPS://API.Example.COM.:8443/a/b?c=d#e")
    assert target == ("https", "api.example.com", 8443, "/a/b?c=d")
    assert (target.origin, target.authority) == ("https://api.example.com:8443", "api.example.com:8443")
    assert parse_url("http://[::1]:80").origin == "http://[::1]"
    assert follow(target, "../x").url == "https://api.example.com:8443/x"


def test_a_grant_is_an_origin_and_nothing_wider() -> None:
    granted = ["https://api.example.com"]
    assert is_granted(parse_url("https://api.example.com:443/x"), granted)
    for url in ("http://api.example.com/", "https://api.example.com:444/", "https://api.example.com.evil.org/"):
        assert not is_granted(parse_url(url), granted)
    check_grants(["https://api.example.com", "http://10.0.0.1:8080", "https://[2001:db8::1]"])


@pytest.mark.parametrize(
    "text", ["api.example.com", "https://a.example/path", "https://*.example", "https://a.example?q"]
)
def test_a_grant_that_is_none_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(CaxtonError) as caught:
        check_grants(["https://good.example", text])
    assert (caught.value.code, caught.value.details["path"]) == ("INVALID_REQUEST", "grants.http[1]")


BAD_REQUESTS = [
    {"headers": {"X-A": "1\r\nX-B: 2"}},
    {"headers": {"X-A\r\nX-B": "2"}},
    {"headers": {"X A": "2"}},
    {"headers": {"": "2"}},
    {"headers": {"Host": "internal"}},
    {"headers": {"Content-Length": "0"}},
    {"headers": {"Transfer-Encoding": "chunked"}},
    {"headers": {"Connection": "upgrade"}},
    {"headers": {"Proxy-Authorization": "x"}},
    {"headers": {"Idempotency-Key": "mine"}},
    {"headers": {f"X-{n}": "" for n in range(101)}},
    {"headers": {"X": "y" * 17_000}},
    {"method": "CONNECT"},
    {"method": "GET / HTTP/1.1\r\n"},
    {"body": "a", "body_base64": "YQ=="},
    {"body_base64": "?"},
    {"timeout_seconds": 0},
    {"timeout_seconds": 1e9},
    {"unknown": 1},
]


@pytest.mark.parametrize("fields", BAD_REQUESTS, ids=lambda fields: str(fields)[:40])
def test_a_request_that_tries_more_than_it_may_is_malformed(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_request(json.dumps({"url": "http://example.com/", **fields}).encode())


def test_a_body_may_be_bytes() -> None:
    made = parse_request(b'{"url":"http://e.com/","method":"PUT","body_base64":"AP8=","headers":{"A":" b "}}')
    assert (made.method, made.body, made.headers[0]) == ("PUT", b"\x00\xff", ("a", "b"))
