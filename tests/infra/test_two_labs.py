"""Two labs at once: neither reaches nor disturbs the other, and no two have one subnet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import machine, network
from lab.errors import Code, LabError
from lab.labs import Lab

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def other(three: Lab) -> Iterator[Lab]:
    lab = Lab("infra-other")
    lab.down()
    try:
        lab.up({"node1": "10.42.7.11"})
        yield lab
    finally:
        lab.down()


def test_they_do_not_see_each_other(three: Lab, other: Lab) -> None:
    for lab, address in ((three, "10.42.7.11"), (other, "10.42.5.11")):
        assert lab.run("node1", "ping", "-c", "1", "-W", "1", address).returncode != 0
        # not even with a route to this host, which forwards nothing
        lab.run("node1", "ip", "route", "add", address, "via", lab.record.machines["node1"].address[:-2] + "1")
        assert lab.run("node1", "ping", "-c", "1", "-W", "1", address).returncode != 0


def test_a_subnet_has_one_lab(three: Lab, other: Lab) -> None:
    with pytest.raises(LabError) as caught:
        Lab("infra-third").up({"node1": "10.42.7.12"})
    assert caught.value.code is Code.REFUSED
    assert other.running("node1")


def test_a_lab_keeps_its_subnet_and_its_hosts_their_addresses(three: Lab) -> None:
    for hosts in ({"node1": "10.42.7.11"}, {"node1": "10.42.5.99"}, {"node9": "10.42.5.11"}):
        with pytest.raises(LabError) as caught:
            three.up(hosts)
        assert caught.value.code is Code.REFUSED


def test_a_machine_that_joins_is_known_to_the_others(three: Lab) -> None:
    three.up({"node4": "10.42.5.14"})
    assert three.run("node1", "ping", "-c", "1", "-W", "2", "node4").returncode == 0


def test_removing_one_leaves_the_other(three: Lab, other: Lab) -> None:
    before = machine.leader(three.record, "node1")
    other.down()
    assert machine.leader(three.record, "node1") == before
    assert network.exists("caxton5")
    assert not network.exists("caxton7")
