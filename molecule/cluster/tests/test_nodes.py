"""Real nodes behind each balancer and their shared address: one drained, one killed, requests counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks import site
from checks.pressure import load
from checks.token import token
from checks.waiting import until
from lab.labs import Lab
from support.wat import TALLY

testinfra_hosts = ["ansible://caxton_balancers"]
NODES = {"node1": "10.42.2.11", "node2": "10.42.2.12", "node3": "10.42.2.13"}
BALANCERS = {"haproxy": "10.42.2.21", "nginx": "10.42.2.22"}
SHARED = "10.42.2.100"
LAB = Lab("cluster")
LOST_BY_A_POWER_CUT = 0.05
"""The share of requests that may fail while a machine dies: those that it held, and those until it is found dead."""

engines = pytest.mark.parametrize("address", BALANCERS.values(), ids=BALANCERS.keys())


def ready(address: str) -> bool:
    try:
        return site.directly(address).get("/ready").status == 200
    except OSError:
        return False


@pytest.fixture(scope="module", autouse=True)
def agents() -> None:
    for address in NODES.values():
        site.directly(address, bearer=token()).ensure("tally", TALLY)


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Every test leaves the cluster as it found it."""
    yield
    for name, address in NODES.items():
        LAB.start(name)
        until(lambda address=address: ready(address), f"{name} does not come back")


@engines
def test_a_drained_node_costs_no_request(address: str) -> None:
    with load(address, "/api/v1/agents/tally", rate=40) as total:
        assert LAB.run("node1", "caxton", "drain").returncode == 0
        until(lambda: not ready(NODES["node1"]), "node1 is still ready")
        assert LAB.run("node1", "caxton", "undrain").returncode == 0
    assert total.ok > 100
    assert total.failed == 0, total


@engines
def test_a_killed_machine_costs_only_what_it_held(address: str) -> None:
    with load(address, "/api/v1/agents/tally", rate=40) as total:
        LAB.kill("node2")
    assert total.ok > 100
    assert total.failed <= LOST_BY_A_POWER_CUT * (total.ok + total.failed), total


def test_the_shared_address_moves_when_its_holder_is_cut_off() -> None:
    assert site.through(SHARED).get("/ready").status == 200
    LAB.kill("lb1")
    try:
        until(lambda: answers(SHARED), "nobody took the shared address over")
    finally:
        LAB.start("lb1")
    until(lambda: answers(BALANCERS["haproxy"]), "lb1 does not come back")


def answers(address: str) -> bool:
    try:
        return site.through(address).get("/ready").status == 200
    except OSError:
        return False
