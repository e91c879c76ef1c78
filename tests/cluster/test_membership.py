"""Who is in, who is reached, who is the majority: never two of them, whatever is cut, in any order of beats."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.cluster.gossip.members import Standing
from caxton.cluster.membership import Members, Membership, Out, Rules, changes
from caxton.protocol.peers import Beat, NodeState
from support.member_simulation import DETECTION, INTERVAL, Network, sighting

SETTLED = 3 * DETECTION
"""After this nothing changes any more by itself."""


def majorities(network: Network) -> set[str]:
    return {node for node, held in network.look().items() if held.majority}


def settled(count: int, seed: int = 0) -> Network:
    network = Network(count, seed)
    network.run(SETTLED)
    return network


@st.composite
def partitions(draw: st.DrawFn, nodes: list[str]) -> list[list[str]]:
    """Two parts, and perhaps some nodes that are alone."""
    groups: dict[int, list[str]] = {1: [], 2: []}
    for number, node in enumerate(nodes):
        groups.setdefault(draw(st.sampled_from((1, 1, 1, 2, 2, 2, 3 + number))), []).append(node)
    return list(groups.values())


def active(network: Network) -> tuple[str, ...]:
    return network.held["n0"].active


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_all_together_are_the_majority_and_in(count: int) -> None:
    network = settled(count)
    assert majorities(network) == set(network.nodes)
    assert {held.active for held in network.held.values()} == {tuple(sorted(network.nodes))}
    assert {held.reachable for held in network.held.values()} == {frozenset(network.nodes)}


@given(data=st.data(), count=st.integers(2, 5), seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_only_one_part_is_ever_the_majority(data: st.DataObject, count: int, seed: int) -> None:
    network = settled(count, seed)
    groups = data.draw(partitions(network.nodes))
    network.part(*groups)
    network.run(SETTLED)
    large = [set(group) for group in groups if 2 * len(group) > count]
    assert majorities(network) == (large[0] if large else set())
    network.heal()
    network.run(SETTLED)
    assert majorities(network) == set(network.nodes)


@given(data=st.data(), count=st.integers(3, 5), seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_no_majority_holds_another_majority_for_out(data: st.DataObject, count: int, seed: int) -> None:
    """Two of them could decide about one agent. At no moment, while it is cut this way and that, and some sleep."""
    network = Network(count, seed)

    def check() -> None:
        strong = [held for held in network.held.values() if held.majority]
        for one in strong:
            for other in strong:
                awake = not {one.node_id, other.node_id} & network.asleep
                valid = network.machines[other.node_id].holds_until >= network.now
                assert not (awake and valid and other.node_id in one.out), (network.now, one, other)

    network.checks.append(check)
    network.run(SETTLED)
    sleepers = st.sampled_from([None] * count + network.nodes)
    for _ in range(8):
        network.part(*data.draw(partitions(network.nodes)))
        sleeper = data.draw(sleepers)
        if sleeper is not None:
            network.sleep(sleeper)
        network.run(data.draw(st.sampled_from((0.3, 1.0, 2.0, 4.5, 6.0, 12.0))))
        if sleeper is not None:
            network.wake(sleeper)


@given(data=st.data(), count=st.integers(2, 5), seed=st.integers(0, 1_000))
@settings(max_examples=20, deadline=None)
def test_any_single_ways_cut_never_make_two_that_share_nobody(data: st.DataObject, count: int, seed: int) -> None:
    network = settled(count, seed)
    ways = [(one, other) for one in network.nodes for other in network.nodes if one != other]
    network.cut = set(data.draw(st.lists(st.sampled_from(ways))))
    network.run(SETTLED)
    held = network.look()
    for node in majorities(network):
        for other in majorities(network):
            assert (held[node].direct | {node}) & (held[other].direct | {other})
            assert other not in held[node].out


@pytest.mark.parametrize("count", [2, 4, 6])
def test_of_two_halves_neither_is_the_majority(count: int) -> None:
    network = settled(count)
    network.part(network.nodes[: count // 2], network.nodes[count // 2 :])
    network.run(SETTLED)
    assert majorities(network) == set()


def test_a_dead_node_is_out_within_detection_and_its_votes() -> None:
    network = settled(3)
    network.part(["n0", "n1"])
    network.run(DETECTION + 3 * INTERVAL)
    held = network.look()
    assert held["n0"].active == held["n1"].active == ("n0", "n1")
    assert held["n0"].out == {"n2": Out.MISSING}
    assert held["n0"].majority
    assert not held["n2"].majority


def test_one_cut_pair_reach_each_other_by_a_third_and_stay_in() -> None:
    network = settled(3)
    network.cut = {("n0", "n2"), ("n2", "n0")}
    network.run(SETTLED)
    held = network.look()
    assert all(one.active == ("n0", "n1", "n2") and one.majority for one in held.values())
    assert held["n0"].relays == {"n2": ("n1",)}
    assert held["n0"].reachable == {"n0", "n1", "n2"}
    assert held["n0"].direct == {"n1"}


@pytest.mark.parametrize("way", [("n0", "n2"), ("n2", "n0")])
def test_one_way_cut_reaches_nobody_directly_either_way(way: tuple[str, str]) -> None:
    """A question that arrives without its answer is no connection."""
    network = settled(3)
    network.cut = {way}
    network.run(SETTLED)
    held = network.look()
    assert held["n0"].relays.keys() == {"n2"}
    assert held["n2"].relays.keys() == {"n0"}


def test_less_silence_than_detection_changes_nothing() -> None:
    network = settled(3)
    before = {node: len(network.history[node]) for node in network.nodes}
    for _ in range(10):
        network.part(["n0"], ["n1", "n2"])
        network.run(DETECTION - 2.5 * INTERVAL)
        network.heal()
        network.run(2.5 * INTERVAL)
    assert {node: len(network.history[node]) for node in network.nodes} == before


@given(cycles=st.lists(st.tuples(st.floats(0.2, 6.0), st.floats(0.2, 6.0)), min_size=8, max_size=8))
@settings(max_examples=20, deadline=None)
def test_a_flapping_node_that_is_out_stays_out_for_detection(cycles: list[tuple[float, float]]) -> None:
    """Not the other way round: one that is in again, and is lost at once, may be out at once."""
    network = settled(3)
    when: list[tuple[float, tuple[str, ...]]] = []
    seen = [active(network)]

    def look() -> None:
        if (now := active(network)) != seen[-1]:
            seen.append(now)
            when.append((network.now, now))

    network.checks.append(look)
    for together, apart in cycles:
        network.part(["n0", "n1"], ["n2"])
        network.run(apart)
        network.heal()
        network.run(together)
    outs, backs = when[::2], when[1::2]
    assert all(members == ("n0", "n1") for _, members in outs)
    assert all(back - out >= DETECTION - 2 * INTERVAL for (out, _), (back, _) in zip(outs, backs, strict=False))


def test_who_slept_believes_nothing_before_it_has_asked_again() -> None:
    network = settled(3)
    network.sleep("n0")
    network.run(60.0)
    assert network.look()["n1"].out == {"n0": Out.MISSING}
    machine = network.machines["n0"]
    assert network.now > machine.holds_until
    woken = machine.look(network.now)
    assert (woken.majority, woken.direct) == (False, frozenset())
    assert woken.active == ("n0", "n1", "n2")  # it has no reason either to think that they have gone
    network.wake("n0")
    assert not network.look()["n0"].majority  # whatever had come meanwhile
    network.run(SETTLED)
    assert majorities(network) == set(network.nodes)


def test_a_minority_holds_for_out_whom_it_does_not_reach() -> None:
    network = settled(3)
    network.part(["n0"], ["n1", "n2"])
    network.run(SETTLED)
    assert network.look()["n0"].active == ("n0",)


# ---- what serf and the nodes themselves say --------------------------------------------------------


def alone(expected: int = 3) -> Membership:
    machine = Membership("n0", Rules(expected, DETECTION), 0.0)
    machine.sighted({node: sighting(node) for node in ("n0", "n1", "n2")}, 0.0)
    return machine


def beat(node: str, state: NodeState = NodeState.ACTIVE) -> Beat:
    return Beat(node_id=node, boot_id="x", at=0.0, state=state)


def test_whom_serf_calls_failed_or_left_is_out() -> None:
    machine = alone()
    machine.sighted(
        {"n1": sighting("n1", Standing.FAILED), "n2": sighting("n2", Standing.LEFT), "n0": sighting("n0")}, 1.0
    )
    held = machine.look(1.0)
    assert held.out == {"n1": Out.FAILED, "n2": Out.LEFT}
    assert held.active == ("n0",)


def test_who_has_left_belongs_to_the_cluster_while_a_node_is_missing() -> None:
    machine = alone()
    found = {"n0": sighting("n0"), "n1": sighting("n1", Standing.FAILED), "n2": sighting("n2", Standing.LEFT)}
    machine.sighted(found, 1.0)
    assert machine.look(1.0).nodes == {"n0", "n1", "n2"}
    machine.expect(2)
    assert machine.look(1.0).nodes == {"n0", "n1"}


def test_who_drains_is_a_member_and_takes_no_work() -> None:
    machine = alone()
    machine.heard(beat("n1", NodeState.DRAINING), 1.0)
    held = machine.look(1.0)
    assert held.active == ("n0", "n2")
    assert held.states["n1"] is NodeState.DRAINING
    machine.state = NodeState.DRAINING
    assert machine.look(1.0).active == ("n2",)


def test_what_serf_says_of_the_state_counts_while_no_beats_come() -> None:
    machine = alone()
    machine.sighted({"n0": sighting("n0"), "n1": sighting("n1", state=NodeState.DRAINING)}, 1.0)
    assert machine.look(1.0).states["n1"] is NodeState.DRAINING


def test_more_nodes_than_expected_raise_what_a_majority_is() -> None:
    machine = Membership("n0", Rules(1, DETECTION), 0.0)
    machine.sighted({f"n{number}": sighting(f"n{number}") for number in range(4)}, 0.0)
    for now in (1.0, 3.0, 5.0, 7.0):
        machine.answered(beat("n1"), now, now)
        machine.look(now)
    assert not machine.look(7.0).majority
    for now in (8.0, 10.0, 12.0, 13.5):
        machine.answered(beat("n1"), now, now)
        machine.answered(beat("n2"), now, now)
        machine.look(now)
    assert machine.look(13.5).majority


def test_an_answer_that_took_too_long_says_nothing() -> None:
    machine = alone()
    machine.answered(beat("n1"), 0.0, DETECTION + 1)
    assert machine.look(DETECTION + 1).direct == frozenset()


def test_one_node_that_expects_nobody_is_its_own_majority() -> None:
    machine = Membership("n0", Rules(1, DETECTION), 0.0)
    assert machine.look(0.0).majority


def test_changes_are_told_as_events() -> None:
    before = Members("n0", states={"n0": NodeState.ACTIVE, "n1": NodeState.ACTIVE, "n3": NodeState.ACTIVE})
    after = Members(
        "n0",
        majority=True,
        direct=frozenset({"n2"}),
        states={"n0": NodeState.ACTIVE, "n2": NodeState.ACTIVE},
        out={"n1": Out.MISSING, "n3": Out.LEFT},
    )
    assert changes(before, after) == [
        ("node.joined", {"node": "n2"}),
        ("node.lost", {"node": "n1", "reason": "missing"}),
        ("node.left", {"node": "n3"}),
        ("node.majority_regained", {"node": "n0", "reaches": ["n0", "n2"]}),
    ]
    assert changes(after, before)[-1] == ("node.majority_lost", {"node": "n0", "reaches": ["n0"]})
