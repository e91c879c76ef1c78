"""Who serves whom: spread evenly, a client with one node, or an agent with one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
import yaml

from caxton.api.permissions import PERMISSION_OF
from support.balancers import ROLE, Balancer, balancing
from support.stubs import Stub

AGENTS = [f"agent-{number}" for number in range(60)]


def served(client: httpx.Client, path: str, method: str = "GET") -> str:
    """The node that answered."""
    return str(client.request(method, path).headers["X-Node"])


@pytest.fixture(scope="module")
def by_uri(engine: str, nodes: dict[str, Stub]) -> Iterator[Balancer]:
    with balancing(engine, nodes, caxton_lb_affinity="uri") as made:
        yield made


@pytest.mark.parametrize("algorithm", ["leastconn", "roundrobin"])
def test_none_spreads_evenly(engine: str, nodes: dict[str, Stub], algorithm: str) -> None:
    with balancing(engine, nodes, caxton_lb_algorithm=algorithm) as balancer, balancer.client() as client:
        counts = Counter(served(client, "/api/v1/agents/one") for _ in range(60))
    assert set(counts) == set(nodes)
    assert min(counts.values()) >= 10


def test_leastconn_keeps_away_from_a_node_that_is_busy(engine: str, nodes: dict[str, Stub]) -> None:
    with balancing(engine, nodes) as balancer, balancer.client() as client:
        before: set[int] = set()
        while (
            balancer.workers() != before
        ):  # new ones count from nothing: a busy machine that fails a check has some made
            before = balancer.workers()
            with balancer.client() as one, one.stream("GET", "/events?every=0.1&count=200") as stream:
                taken = stream.headers["X-Node"]
                others = {served(client, "/x") for _ in range(20)}
        assert taken not in others


def test_source_keeps_a_client_with_one_node(engine: str, nodes: dict[str, Stub]) -> None:
    with balancing(engine, nodes, caxton_lb_affinity="source") as balancer:
        found = set()
        for number in range(10):
            with balancer.client() as client:
                found |= {served(client, f"/{number}"), served(client, f"/api/v1/agents/{number}", "POST")}
        assert len(found) == 1
        nodes[found.copy().pop()].tell("ready?status=503")
        name = found.pop()
        try:
            balancer.until_state(name, "DOWN")
            with balancer.client() as client:
                other = {served(client, f"/{number}") for number in range(10)}
            assert len(other) == 1
            assert name not in other
        finally:
            nodes[name].tell("undrain")


def test_uri_keeps_an_agent_with_one_node_whatever_is_asked_of_it(by_uri: Balancer) -> None:
    with by_uri.client() as client:
        for agent in AGENTS[:10]:
            base = f"/api/v1/agents/{agent}"
            asked = {served(client, base + rest) for rest in ("", "/", "/logs?follow=1", "/state?limit=3", "?a=b")}
            asked |= {
                served(client, base + "/invoke", "POST"),
                served(client, base, "PUT"),
                served(client, base, "DELETE"),
            }
            assert len(asked) == 1, agent


def test_uri_takes_an_encoded_name_for_the_same_agent(by_uri: Balancer) -> None:
    with by_uri.client() as client:
        for agent in AGENTS[:10]:
            plain, encoded = f"/api/v1/agents/{agent}/invoke", f"/api/v1/agents/%61{agent[1:]}/invoke"
            assert served(client, plain) == served(client, encoded)


def test_uri_keeps_agents_of_one_namespace_apart(by_uri: Balancer) -> None:
    with by_uri.client() as client:
        found = {}
        for agent in AGENTS[:30]:
            base = f"/api/v1/agents/team/{agent}"
            asked = {served(client, base + rest) for rest in ("", "?a=b", "/logs?limit=3", "/state")}
            asked.add(served(client, base + "/invoke", "POST"))
            assert len(asked) == 1, agent
            found[agent] = asked.pop()
    assert set(found.values()) == set(by_uri.nodes)


def test_every_route_of_an_agent_is_known_to_the_balancers() -> None:
    known = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__caxton_lb_agent_routes"]
    routes = {rule.partition("<agent:name>/")[2] for _, rule in PERMISSION_OF if "/agents/<agent:name>/" in rule}
    assert sorted(routes) == known


def test_uri_spreads_agents_over_all_nodes(by_uri: Balancer) -> None:
    with by_uri.client() as client:
        counts = Counter(served(client, f"/api/v1/agents/{agent}") for agent in AGENTS)
    assert set(counts) == set(by_uri.nodes)
    assert min(counts.values()) >= 5


def test_uri_moves_only_the_agents_of_the_node_that_leaves(by_uri: Balancer, nodes: dict[str, Stub]) -> None:
    with by_uri.client() as client:
        before = {agent: served(client, f"/api/v1/agents/{agent}") for agent in AGENTS}
        nodes["node2"].tell("ready?status=503")
        try:
            by_uri.until_state("node2", "DOWN")
            client.get(
                "/x"
            )  # nginx: a connection from before the reload is closed after its next answer at the latest
            during = {agent: served(client, f"/api/v1/agents/{agent}") for agent in AGENTS}
        finally:
            nodes["node2"].tell("undrain")
        by_uri.until_state("node2", "UP")
    moved = {agent for agent in AGENTS if during[agent] != before[agent]}
    assert moved == {agent for agent in AGENTS if before[agent] == "node2"}
    with by_uri.client() as client:
        assert {agent: served(client, f"/api/v1/agents/{agent}") for agent in AGENTS} == before


def test_uri_keeps_other_paths_by_their_whole_target(by_uri: Balancer) -> None:
    with by_uri.client() as client:
        targets = [f"/api/v1/messages?page={number}" for number in range(40)]
        found = {target: served(client, target) for target in targets}
        assert len(set(found.values())) == 3
        assert {target: served(client, target) for target in targets} == found
