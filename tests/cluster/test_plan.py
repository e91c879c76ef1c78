"""What a change of the members would move: only what must, to where it then belongs, and why the rest stays."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.cluster.placement import first, hosts
from caxton.cluster.plan import Move, Why, home_move, moves

NODES = [f"n{number}" for number in range(6)]


@dataclass(frozen=True)
class Agent:
    name: str
    home: str | None = None
    replicas: int | str = 1
    node: str | None = None


def at_home(name: str, nodes: list[str], node: str | None = None) -> Agent:
    return Agent(name, home=node or first(name, nodes), node=node)


names = st.lists(st.text("abc", min_size=1, max_size=6), unique=True, max_size=30)


@settings(max_examples=30, deadline=None)
@given(names, st.sampled_from(NODES))
def test_only_the_homes_of_a_node_that_goes_move_and_come_back_with_it(agents: list[str], gone: str) -> None:
    rest = [node for node in NODES if node != gone]
    before = [at_home(name, NODES) for name in agents]
    out = moves(before, NODES, rest)
    assert {move.agent for move in out} == {agent.name for agent in before if agent.home == gone}
    assert all(move.giver == gone and move.taker == first(move.agent, rest) for move in out)
    meanwhile = [Agent(agent.name, home=first(agent.name, rest)) for agent in before]
    back = moves(meanwhile, rest, NODES)
    assert [(move.agent, move.taker, move.giver) for move in back] == [(m.agent, m.giver, m.taker) for m in out]
    assert moves(before, NODES, NODES) == []


@settings(max_examples=30, deadline=None)
@given(names, st.sampled_from(NODES), st.one_of(st.integers(1, 7), st.just("all")))
def test_replicas_move_one_for_one(agents: list[str], gone: str, replicas: int | str) -> None:
    rest = [node for node in NODES if node != gone]
    made = [Agent(name, replicas=replicas) for name in agents]
    out = moves(made, NODES, rest)
    assert [move.agent for move in out] == sorted(one.name for one in made if gone in hosts(one, NODES))
    assert all(move.giver == gone for move in out)
    assert all((move.taker is None) is (replicas == "all" or int(replicas) >= len(NODES)) for move in out)


def test_a_pinned_agent_stays_and_says_why() -> None:
    pinned = at_home("p", NODES, "n1")
    assert home_move(pinned, ["n0", "n2"]) == Move("p", "n1", None, Why.PINNED)
    assert home_move(pinned, NODES) is None
    away = Agent("p", home="n0", node="n1")
    assert home_move(away, NODES) == Move("p", "n0", "n1"), "it goes where it is pinned to, as soon as that is there"
    assert home_move(away, ["n0"]) is None


def test_nobody_to_take_it() -> None:
    assert home_move(at_home("a", ["n0"]), []) == Move("a", "n0", None, Why.NOBODY)


def test_a_home_that_is_out_is_no_move() -> None:
    assert moves([Agent("a", home="n5")], ["n0", "n1"], ["n0"]) == []
