"""GET /ready decides who gets requests: clients' failed requests while a node is drained, killed, or lied about."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.balancers import QUICK, Balancer, balancing
from support.served_node import until
from support.stubs import Stub, stubs

VERDICT_SECONDS = QUICK["caxton_lb_check_interval"] * 2 + QUICK["caxton_lb_check_timeout"]
"""The longest that two failed checks in a row may take."""
SLACK_SECONDS = 3.0
"""Two cores are shared with other tests."""
Load = Callable[..., dict[str, Any]]


@pytest.mark.usefixtures("all_ready")
def test_a_node_that_is_not_ready_leaves_without_one_failed_request(
    balancer: Balancer, nodes: dict[str, Stub], during_load: Load
) -> None:
    took: list[float] = []

    def act() -> None:
        nodes["node1"].tell("ready?status=503")
        took.append(balancer.until_state("node1", "DOWN"))

    report = during_load(balancer.plan(rate=100, seconds=6), act)
    assert report["failed"] == 0, report
    assert took[0] < VERDICT_SECONDS + SLACK_SECONDS
    before = len(nodes["node1"].seen())
    with balancer.client() as client:
        assert {client.get("/x").headers["X-Node"] for _ in range(30)} == {"node2", "node3"}
    assert len(nodes["node1"].seen()) == before


@pytest.mark.usefixtures("all_ready")
def test_it_comes_back_by_itself(balancer: Balancer, nodes: dict[str, Stub], during_load: Load) -> None:
    nodes["node1"].tell("ready?status=503")
    balancer.until_state("node1", "DOWN")
    report = during_load(balancer.plan(rate=100, seconds=5), lambda: nodes["node1"].tell("undrain"))
    assert report["failed"] == 0, report
    balancer.until_state("node1", "UP")
    assert report["by"].get("node1", 0) > 0


@pytest.mark.usefixtures("all_ready")
def test_what_runs_on_a_node_that_leaves_ends_in_peace(balancer: Balancer, nodes: dict[str, Stub]) -> None:
    name, answer = long_request(balancer, nodes, 3.0)
    nodes[name].tell("ready?status=503")
    balancer.until_state(name, "DOWN")
    assert answer() == 200


def test_cutting_on_down_costs_exactly_that(nodes: dict[str, Stub]) -> None:
    """Why caxton_lb_cut_on_down is off: the same scenario with it."""
    from .conftest import require

    require("haproxy")
    with stubs("node1") as alone, balancing("haproxy", alone, caxton_lb_cut_on_down=True) as balancer:
        name, answer = long_request(balancer, alone, 4.0)
        alone[name].tell("ready?status=503")
        balancer.until_state(name, "DOWN")
        assert answer() != 200


@pytest.mark.usefixtures("all_ready")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_killed_node_costs_at_most_what_was_in_flight_there(
    balancer: Balancer, nodes: dict[str, Stub], during_load: Load, method: str
) -> None:
    # 100 a second of 50 ms each over three nodes: about two of them run on the one that dies, more on a busy machine.
    plan = balancer.plan("/slow?seconds=0.05", rate=100, seconds=5, method=method, connections=15)
    report = during_load(plan, nodes["node1"].end)
    assert report["failed"] + report["repeated_on_closed_idle"] <= 10, report
    assert report["failed"] == 0 or report["failed_to"] - report["failed_from"] < 1.0, report
    balancer.until_state("node1", "DOWN")


@pytest.mark.usefixtures("all_ready")
def test_no_client_can_talk_a_node_out(balancer: Balancer) -> None:
    """A quarantined agent answers 503, a failed one 502, a slow one 504: none of that is about the node."""
    with balancer.client() as client:
        for status in (502, 503, 504):
            assert {client.get(f"/status/{status}").status_code for _ in range(60)} == {status}
        assert {client.get("/x").headers["X-Node"] for _ in range(30)} == set(balancer.nodes)
    assert set(balancer.states().values()) == {"UP"}


@pytest.mark.usefixtures("all_ready")
def test_one_failed_check_is_no_verdict(balancer: Balancer, nodes: dict[str, Stub]) -> None:
    with nodes["node1"].stalled():
        pass  # a moment: at most one check meets it
    threading.Event().wait(VERDICT_SECONDS)
    assert balancer.states()["node1"] == "UP"


def test_without_any_node_the_answer_is_the_apis(engine: str) -> None:
    with stubs("node1", "node2") as made, balancing(engine, made) as balancer, balancer.client() as client:
        for stub in made.values():
            stub.end()

        def refused() -> bool:
            answer = client.post("/api/v1/messages")
            return answer.status_code == 503 and answer.json()["error"]["code"] == "UNREACHABLE"

        until(refused, "an answer of the balancer itself")
        assert balancer.works()


def test_a_drained_node_gets_nothing_although_it_is_ready(
    engine: str, nodes: dict[str, Stub], during_load: Load
) -> None:
    with balancing(engine, nodes) as balancer:

        def act() -> None:
            balancer.apply(caxton_lb_drained=["node3"])
            if engine == "nginx":
                balancer.until_state("node3", "DOWN")

        report = during_load(balancer.plan(rate=50, seconds=12), act)
        assert report["failed"] == 0, report
        before = len(nodes["node3"].seen())
        with balancer.client() as client:
            assert {client.get("/x").headers["X-Node"] for _ in range(30)} == {"node1", "node2"}
        assert len(nodes["node3"].seen()) == before
        balancer.apply(caxton_lb_drained=[])
        with balancer.client() as client:
            until(lambda: client.get("/x").headers["X-Node"] == "node3", "the node takes requests again")


@pytest.mark.usefixtures("all_ready")
def test_drained_at_the_balancer_first_a_node_may_refuse_at_once(
    balancer: Balancer, nodes: dict[str, Stub], during_load: Load
) -> None:
    """The order of a rolling upgrade: out at the balancer, then the node itself, and back the other way round."""

    def act() -> None:
        balancer.set_drained("node1", True)
        nodes["node1"].tell("drain")
        nodes["node1"].end()
        nodes["node1"].start()
        balancer.set_drained("node1", False)

    report = during_load(balancer.plan(rate=60, seconds=10, method="POST"), act)
    assert report["failed"] == 0, report
    with balancer.client() as client:
        assert {client.get("/x").headers["X-Node"] for _ in range(30)} == set(nodes)


def long_request(balancer: Balancer, nodes: dict[str, Stub], seconds: float) -> tuple[str, Callable[[], int]]:
    """A request that has begun on some node: which one, and a call that waits for its status (0: it broke)."""
    target = f"/slow?seconds={seconds}&once={threading.get_ident()}-{balancer.https}-{seconds}"
    result: list[int] = []

    def ask() -> None:
        with balancer.client() as client:
            try:
                result.append(client.get(target).status_code)
            except Exception:
                result.append(0)

    thread = threading.Thread(target=ask)
    thread.start()

    def begun() -> str | None:
        return next((name for name, stub in nodes.items() if f"begun {target}" in stub.seen()), None)

    name = until(begun, "the request has begun")

    def answer() -> int:
        thread.join(30)
        return result[0]

    return str(name), answer
