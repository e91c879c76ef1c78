from __future__ import annotations

import pytest

from caxton.api.limits import Connections
from caxton.api.limits.networks import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_each_address_has_so_many_and_a_balancer_any_number() -> None:
    own = Connections(2, lambda address: address == "2001:db8::1")
    assert [own.enter("2001:db8::2"), own.enter("2001:db8::3"), own.enter("2001:db8::4")] == [True, True, False]
    assert own.enter("203.0.113.9")
    assert all(own.enter("2001:db8::1") for _ in range(10))  # of the same /64 as those that are full
    for _ in range(10):
        own.leave("2001:db8::1")
    assert not own.enter("2001:db8::4")
    own.leave("2001:db8::2")
    assert own.enter("2001:db8::4")


def test_nothing_is_kept_of_those_who_left() -> None:
    own = Connections(2, lambda _: False)
    for number in range(1_000):
        assert own.enter(f"10.0.{number // 256}.{number % 256}")
    for number in range(1_000):
        own.leave(f"10.0.{number // 256}.{number % 256}")
    assert not own._open
