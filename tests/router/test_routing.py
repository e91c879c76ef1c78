"""Where operations are answered: the table covers all of them, and says of what."""

from __future__ import annotations

import pytest

from caxton.protocol.access import Role, Scope
from caxton.protocol.agents import AgentConfig
from caxton.protocol.operations import OPERATIONS, Deploy, KeyCreate, Named
from caxton.protocol.talks import Subscribe
from caxton.router.auditing.actions import AUDITED
from caxton.router.cluster.forwarding_lists import ORDERS
from caxton.router.cluster.routing import ROUTES, Where, route_of


def test_every_operation_is_routed() -> None:
    asked_by_clients = {name for name in OPERATIONS if not name.startswith("peer.")}
    assert asked_by_clients == set(ROUTES)


@pytest.mark.parametrize("op", [name for name in OPERATIONS if name.startswith("peer.")])
def test_what_nodes_ask_of_each_other_is_answered_where_it_is_asked(op: str) -> None:
    route = route_of(op)
    assert (route.where, route.changes) == (Where.HERE, False)


def test_every_list_of_all_nodes_has_an_order() -> None:
    assert {op for op, route in ROUTES.items() if route.where is Where.GATHER} == set(ORDERS)


def test_what_is_decided_by_one_node_is_a_change_and_in_the_audit() -> None:
    decided = {op for op, route in ROUTES.items() if route.where is Where.DECIDER}
    assert all(ROUTES[op].changes for op in decided)
    assert decided <= set(AUDITED)


@pytest.mark.parametrize("op", ["key.create", "key.revoke", "namespace.set", "secret.set", "token.revoke"])
def test_what_every_node_gets_needs_a_majority(op: str) -> None:
    assert ROUTES[op].changes


def test_names_are_found_in_the_arguments() -> None:
    deploy = Deploy(AgentConfig(name="team/one"), b"")
    assert ROUTES["agent.deploy"].about(deploy) == "team/one"
    assert ROUTES["agent.get"].about(Named("two")) == "two"
    assert ROUTES["topic.subscribe"].about(Subscribe("news", "three")) == "three"
    assert ROUTES["key.create"].about(KeyCreate("x", Scope(Role.VIEWER))) is None


def test_a_pin_is_read_from_the_configuration() -> None:
    assert ROUTES["agent.deploy"].pin(Deploy(AgentConfig(name="one"), b"")) is None
    assert ROUTES["agent.deploy"].pin(Deploy(AgentConfig(name="one", node="n2"), b"")) == "n2"
