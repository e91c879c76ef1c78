"""Copies become equal under any interleaving, loss, doubling and restart, and to what was written last."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.protocol.peers import Record
from support.registry_copies import Node, agent_epoch, cluster, converge, say_agent

NODES = 4
NODE = st.integers(0, NODES - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NODE, st.sampled_from("abcde")),
        st.tuples(st.just("remove"), NODE, st.sampled_from("abcde")),
        st.tuples(st.just("agent"), NODE, st.sampled_from("xy"), st.sampled_from([0, 1, 1_000]), st.booleans()),
        st.tuples(st.just("end agent"), NODE, st.sampled_from("xy")),
        st.tuples(st.just("pull"), NODE, NODE, st.integers(1, 3), st.one_of(st.none(), st.integers(0, 3))),
        st.tuples(st.just("restart"), NODE),
        st.tuples(st.just("skew"), NODE, st.floats(-30, 30)),
        st.tuples(st.just("wait"), st.floats(0, 10)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_copies_become_equal_to_what_outranks_the_rest(steps: list[tuple[Any, ...]]) -> None:
    time, nodes = cluster(NODES)
    written = {("agent", name): say_agent(nodes[0], name) for name in "xy"}
    converge(nodes)
    for number, (what, *args) in enumerate(steps):
        made = written_by(nodes[args[0]], what, number, *args[1:]) if isinstance(args[0], int) else None
        if made is not None:
            key = made.kind, made.name
            written[key] = max(written.get(key, made), made, key=counts_from)
        elif what == "pull" and args[0] != args[1]:
            nodes[args[0]].pull(nodes[args[1]], limit=args[2], pages=args[3])
        elif what == "restart":
            nodes[args[0]].restart()
        elif what == "skew":
            nodes[args[0]].skew = args[1]
        elif what == "wait":
            time.now += args[0]
    converge(nodes)
    wanted = {key: record.body for key, record in written.items() if record.body is not None}
    for node in nodes:
        assert node.content() == wanted
    assert len({node.registry.digest() for node in nodes}) == 1
    assert all(node.registry.vector() == nodes[0].registry.vector() for node in nodes)


def written_by(node: Node, what: str, number: int, *args: Any) -> Record | None:
    """What the node says in this step; `agent`: an update, a move or an adoption, or a deployment, old or new."""
    if what == "agent":
        return say_agent(node, args[0], args[1], older=args[2], number=number)
    if what == "put":
        return node.registry.put("k", args[0], b"%d" % number)
    if what in ("remove", "end agent"):
        return node.registry.remove("k" if what == "remove" else "agent", args[0])
    return None


def counts_from(record: Record) -> tuple[int, int, str]:
    """The rule, said once more: an agent's epoch where it has one that counts, then the reading, then the writer."""
    epoch = agent_epoch(record)
    return epoch if epoch > 1_000_000 else record.hlc >> 16, record.hlc, record.writer


WRITTEN = st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from("xy"), st.booleans())


@given(st.lists(WRITTEN), st.data())
def test_merging_is_idempotent_and_knows_no_order(found: list[tuple[str, int, str, bool]], data: Any) -> None:
    records = [
        Record("k", name, (hlc << 1) + alive + 1, writer, f"{name}{hlc}{writer}".encode() if alive else None)
        for name, hlc, writer, alive in found
    ]
    _, (one, other) = cluster(2)
    one.registry.merge(records)
    shuffled = data.draw(st.permutations(records))
    for record in [*shuffled, *shuffled]:
        other.registry.merge([record])
    assert one.content() == other.content()
    assert one.registry.digest() == other.registry.digest()
    assert other.registry.merge(records) == []


def test_what_an_old_home_says_later_does_not_take_the_agent_back() -> None:
    time, nodes = cluster(3)
    old, new, third = nodes
    say_agent(old, "x")
    converge(nodes)
    moved = say_agent(new, "x", raised=1_000)
    time.now += 5
    late = say_agent(old, "x")  # in a minority
    assert late.hlc > moved.hlc
    third.pull(old)
    converge(nodes)
    for node in nodes:
        assert node.registry.get("agent", "x") == moved
        node.restart()
        assert node.registry.get("agent", "x") == moved


def test_a_removed_agent_stays_removed_whatever_is_said_of_it_where_that_is_not_known() -> None:
    time, nodes = cluster(3)
    home, far, _ = nodes
    say_agent(home, "x")
    converge(nodes)
    time.now += 5
    home.registry.remove("agent", "x")
    time.now += 5
    say_agent(far, "x", raised=1_000)  # adopted meanwhile
    time.now += 5
    say_agent(far, "x")
    converge(nodes)
    assert [node.content() for node in nodes] == [{}] * 3


def test_a_name_can_be_given_again_in_the_same_millisecond_and_after_any_number_of_moves() -> None:
    _, nodes = cluster(3)
    one, two, _ = nodes
    for node in (one, two, one):
        say_agent(node, "x", raised=1_000)
        two.pull(one)
        one.pull(two)
    two.registry.remove("agent", "x")
    one.pull(two)
    assert one.content() == {}
    again = say_agent(one, "x")
    converge(nodes)
    assert [node.registry.get("agent", "x") for node in nodes] == [again] * 3


def test_what_an_older_release_removes_and_deploys_again_goes_by_the_clock() -> None:
    time, nodes = cluster(3)
    one, two, away = nodes
    say_agent(one, "x", older=True)
    converge(nodes)
    one.registry.remove("agent", "x")
    away.pull(one)
    time.now += 1
    two.pull(one)
    again = say_agent(two, "x", older=True)
    converge(nodes)
    assert [node.registry.get("agent", "x") for node in nodes] == [again] * 3


def test_a_page_alone_does_not_move_the_vector() -> None:
    _, (one, other) = cluster(2)
    for number in range(10):
        one.registry.put("k", f"{number}", b"")
    other.pull(one, limit=3, pages=2)
    assert len(other.content()) == 6
    assert other.registry.vector() == {}
    other.pull(one, limit=3)
    assert other.content() == one.content()
    assert other.registry.vector() == one.registry.vector()


def test_what_replaced_a_record_is_not_lost_with_the_page_that_had_it() -> None:
    """A page may come without what replaced a record; whoever has the old one must still hear of it from others."""
    time, (first, second, third, fourth) = cluster(4)
    first.registry.put("k", "x", b"old")
    third.pull(first)
    time.now += 1
    second.registry.put("k", "other", b"")
    second.pull(first)
    second.registry.put("k", "x", b"new")
    fourth.pull(second, limit=1, pages=1)  # and then `second` is gone for good
    converge([first, third, fourth])
    assert first.content() == third.content() == fourth.content()


def test_a_change_between_two_pages_comes_on_a_later_one() -> None:
    _, (one, other) = cluster(2)
    for name in "abcd":
        one.registry.put("k", name, b"1")
    pages = [one.registry.delta({}, 2)]
    one.registry.put("k", "c", b"2")
    while pages[-1].more:
        pages.append(one.registry.delta({}, 2, pages[-1].cursor))
    for page in pages:
        other.registry.merge(page.records)
    assert other.content() == one.content()
    assert pages[-1].vector == one.registry.vector()  # of somebody who had nothing


def test_a_cursor_of_an_earlier_life_begins_anew() -> None:
    time, (one, _) = cluster(2)
    for name in "abc":
        one.registry.put("k", name, b"")
    cursor = one.registry.delta({}, 2).cursor
    time.now += 1
    one.restart()
    assert len(one.registry.delta({}, 10, cursor).records) == 3


def test_large_bodies_make_short_pages() -> None:
    _, (one, other) = cluster(2)
    for name in "abc":
        one.registry.put("k", name, bytes(700_000))
    assert len(one.registry.delta({}, 10).records) == 1
    assert other.pull(one) == 3


def test_who_has_everything_is_sent_nothing() -> None:
    _, nodes = cluster(3)
    for node in nodes:
        node.registry.put("k", node.name, b"")
    converge(nodes)
    assert [one.pull(other) for one in nodes for other in nodes if one is not other] == [0] * 6


def test_the_index_of_a_writer_stays_as_small_as_what_is_in_force() -> None:
    _, (one, _) = cluster(2)
    for number in range(2_000):
        one.registry.put("k", f"{number % 3}", b"%d" % number)
    (index,) = one.registry._writers.values()
    assert len(list(index)) < 100


def test_unknown_kinds_and_bodies_are_kept_as_they_came() -> None:
    _, (one, other) = cluster(2)
    one.registry.put("of a later release", "x", b"\xc1 whatever")
    other.pull(one)
    assert other.registry.get("of a later release", "x") == one.registry.get("of a later release", "x")
