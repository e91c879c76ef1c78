"""A new configuration under load costs nothing, and what an operator said of a node survives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.balancers import Balancer, balancing
from support.served_node import until
from support.stubs import Stub, stubs

from .conftest import require


@pytest.fixture
def haproxy(nodes: dict[str, Stub]) -> Iterator[Balancer]:
    require("haproxy")
    with balancing("haproxy", nodes) as made:
        yield made


@pytest.mark.parametrize("fresh", [False, True], ids=["kept connections", "new connections"])
def test_three_reloads_under_load_fail_nothing(
    balancer: Balancer, during_load: Callable[..., dict[str, Any]], fresh: bool
) -> None:
    report = during_load(
        balancer.plan(rate=60, seconds=8, fresh=fresh), lambda: [balancer.reload() for _ in range(3)]
    )
    assert report["failed"] == 0, report


def test_a_long_request_survives_a_reload(balancer: Balancer, during_load: Callable[..., dict[str, Any]]) -> None:
    report = during_load(balancer.plan("/slow?seconds=4", rate=1, seconds=1), balancer.reload)
    assert report["failed"] == report["repeated_on_closed_idle"] == 0, report


def test_a_server_drained_by_the_admin_socket_stays_drained(haproxy: Balancer) -> None:
    haproxy.command("set server caxton_backend/node1 state drain")
    assert haproxy.states()["node1"] == "DRAIN"
    haproxy.apply(caxton_lb_timeout_client=40)
    assert haproxy.states()["node1"] == "DRAIN"
    with haproxy.client() as client:
        assert {client.get("/x").headers["X-Node"] for _ in range(20)} == {"node2", "node3"}
    haproxy.command("set server caxton_backend/node1 state ready")
    haproxy.reload()
    assert haproxy.states()["node1"] == "UP"


def test_a_server_that_is_down_stays_down_without_another_check(haproxy: Balancer, nodes: dict[str, Stub]) -> None:
    nodes["node2"].tell("ready?status=503")
    try:
        haproxy.until_state("node2", "DOWN")
        haproxy.reload()
        assert haproxy.states()["node2"] == "DOWN"
    finally:
        nodes["node2"].tell("undrain")


def test_a_node_that_moved_is_found_at_its_new_address(engine: str) -> None:
    """haproxy's state file also holds addresses: an old one must not win over the configuration."""
    with stubs("before", "after") as made, balancing(engine, {"node1": made["before"].port}) as balancer:
        moved = [{"name": "node1", "address": "127.0.0.1", "port": made["after"].port}]
        assert _served_by(balancer) == "before"
        balancer.apply(caxton_lb_nodes=moved)
        until(lambda: _served_by(balancer) == "after", "the new address is used")


def _served_by(balancer: Balancer) -> str:
    """Over a connection of its own: a kept one may be closed by the reload in the moment in which it is used."""
    with balancer.client() as client:
        return str(client.get("/x").headers["X-Node"])


def test_without_an_answer_of_haproxy_no_old_state_is_left(haproxy: Balancer) -> None:
    state = haproxy.home / "state"
    haproxy.save_state(haproxy.home / "admin.sock")
    assert "node1" in state.read_text()
    haproxy.save_state(haproxy.home / "nobody.sock")
    assert not state.exists()
