"""Placement is the same everywhere, and a change of members moves only what it must."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from caxton.cluster.placement import ALL, decider, first, hosts, owner, rank

NODES = tuple(f"node{number}" for number in range(1, 8))
names = st.text("abcdefghij/-0123456789", min_size=1, max_size=20)


@dataclass(frozen=True)
class Agent:
    name: str = "worker"
    home: str | None = None
    replicas: int | str = 1
    node: str | None = None


@given(names, st.permutations(NODES))
def test_the_order_of_members_does_not_matter(name: str, nodes: list[str]) -> None:
    assert rank(name, nodes) == rank(name, NODES)
    assert first(name, nodes) == rank(name, NODES)[0]


@given(names, st.sampled_from(NODES))
def test_a_member_that_leaves_takes_only_its_own_along(name: str, gone: str) -> None:
    left = [node for node in NODES if node != gone]
    assert rank(name, left) == [node for node in rank(name, NODES) if node != gone]


def test_every_member_gets_its_share() -> None:
    counts = dict.fromkeys(NODES, 0)
    for number in range(7_000):
        counts[first(f"agent-{number}", NODES) or ""] += 1
    assert all(800 < count < 1_200 for count in counts.values())


def test_replicas_are_the_head_of_the_rank() -> None:
    assert hosts(Agent(replicas=3), NODES) == rank("worker", NODES)[:3]
    assert hosts(Agent(replicas=9), NODES) == rank("worker", NODES)
    assert hosts(Agent(replicas=ALL), NODES) == rank("worker", NODES)
    assert hosts(Agent(), ()) == []


def test_a_home_and_a_pin_hold_whoever_is_there() -> None:
    for agent in (Agent(home="node9"), Agent(node="node9")):
        assert hosts(agent, NODES) == ["node9"]
        assert decider("worker", agent, NODES) == owner(agent, "talk", NODES) == "node9"


def test_a_new_name_is_decided_where_it_would_live() -> None:
    assert decider("worker", None, NODES) == hosts(Agent(), NODES)[0] == decider("worker", Agent(), NODES)
    assert decider("worker", None, NODES, pin="node2") == "node2"
    assert decider("worker", None, ()) is None


@given(st.uuids().map(str), st.sampled_from(NODES))
def test_a_conversation_stays_with_its_replica_unless_that_goes(talk: str, gone: str) -> None:
    agent = Agent(replicas=ALL)
    before = owner(agent, talk, NODES)
    after = owner(agent, talk, [node for node in NODES if node != gone])
    assert after == before or before == gone
