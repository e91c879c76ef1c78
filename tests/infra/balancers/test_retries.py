"""What is sent to a second node: what never reached the first; more only where nodes know a repetition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.balancers import Balancer, balancing
from support.stubs import Stub, stubs


@pytest.fixture(scope="module")
def repeating(engine: str, nodes: dict[str, Stub]) -> Iterator[Balancer]:
    with balancing(engine, nodes, caxton_lb_retry_idempotent=True) as made:
        yield made


def times(nodes: dict[str, Stub], what: str) -> int:
    """How often the nodes saw this, all together."""
    return sum(stub.seen().count(what) for stub in nodes.values())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_node_that_cannot_be_reached_costs_nothing(
    engine: str, method: str, during_load: Callable[..., Any]
) -> None:
    """Before any check has noticed: checks are an hour apart here."""
    slow = {"caxton_lb_check_interval": 3600, "caxton_lb_check_fast_interval": 3600}
    with stubs("node1", "node2") as made, balancing(engine, made, **slow) as balancer:
        made["node1"].end()
        report = during_load(balancer.plan(rate=40, seconds=2, method=method), lambda: None)
        if engine == "nginx":
            assert balancer.states()["node1"] == "UP", "so each of these requests may have met it first"
    assert report["failed"] == 0, report
    assert set(report["by"]) == {"node2"}


def test_a_post_that_a_node_took_is_not_repeated(balancer: Balancer, nodes: dict[str, Stub]) -> None:
    with balancer.client() as client:
        answer = client.post(f"/drop?post={balancer.https}")
    assert answer.status_code in (502, 503)
    assert answer.json()["error"]["code"] == "UNREACHABLE"
    assert times(nodes, f"POST /drop?post={balancer.https}") == 1


def test_a_refusal_is_the_nodes_own(balancer: Balancer, nodes: dict[str, Stub]) -> None:
    with balancer.client() as client:
        assert client.post(f"/status/503?own={balancer.https}").json() == {"stub": True}
    assert times(nodes, f"POST /status/503?own={balancer.https}") == 1


def test_with_shared_deduplication_a_post_is_repeated_with_one_key(
    repeating: Balancer, nodes: dict[str, Stub]
) -> None:
    with repeating.client() as client:
        client.post(f"/drop?repeat={repeating.https}")
        key = client.post("/x").json()["headers"]["idempotency-key"]
        given = client.post("/x", headers={"Idempotency-Key": "mine"}).json()["headers"]["idempotency-key"]
        assert "idempotency-key" not in client.get("/x").json()["headers"]
        other = client.post("/x").json()["headers"]["idempotency-key"]
    assert times(nodes, f"POST /drop?repeat={repeating.https}") > 1
    assert given == "mine"
    assert 16 <= len(key) <= 255
    assert key != other


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_with_shared_deduplication_a_node_that_refuses_costs_nothing(
    repeating: Balancer, nodes: dict[str, Stub], during_load: Callable[..., Any], method: str
) -> None:
    try:
        report = during_load(repeating.plan(rate=60, seconds=4, method=method), lambda: nodes["node1"].tell("drain"))
    finally:
        nodes["node1"].tell("undrain")
    assert report["failed"] == 0, report
    repeating.until_state("node1", "UP")


@pytest.mark.parametrize("status", [500, 502, 504])
def test_even_then_an_agents_failure_is_not_run_again(
    repeating: Balancer, nodes: dict[str, Stub], status: int
) -> None:
    target = f"/status/{status}?agent={repeating.https}"
    with repeating.client() as client:
        assert client.post(target).status_code == status
    assert times(nodes, f"POST {target}") == 1
    assert set(repeating.states().values()) == {"UP"}


def test_even_then_refusals_do_not_take_nodes_out(repeating: Balancer) -> None:
    with repeating.client() as client:
        assert {client.get("/status/503").status_code for _ in range(30)} == {503}
        assert {client.get("/x").headers["X-Node"] for _ in range(30)} == set(repeating.nodes)
