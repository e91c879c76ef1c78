"""Copies that were away for a week with what the others removed, or were put back from a backup; wrong clocks."""

from __future__ import annotations

from support.registry_copies import DAY, Node, Time, cluster, converge, say_agent


def agent_removed_while_away() -> tuple[Time, list[Node], Node]:
    """Two nodes that removed `x`, and forgot that after a week; the third was away, and is no member any more."""
    time, nodes = cluster(3)
    one, two, away = nodes
    one.registry.put("agent", "x", b"1")
    one.registry.put("agent", "y", b"1")
    converge(nodes)
    time.now += 60
    two.registry.remove("agent", "x")
    converge([one, two])
    time.now += 8 * DAY
    converge([one, two])
    for node in (one, two):
        assert len(node.registry.collect(["n0", "n1"])) == 1
    return time, [one, two], away


def test_a_tombstone_stays_for_a_week_and_until_every_member_has_seen_it() -> None:
    time, nodes = cluster(3)
    one, two, three = nodes
    one.registry.put("agent", "x", b"1")
    converge(nodes)
    one.registry.remove("agent", "x")
    converge([one, two])
    time.now += 6 * DAY
    converge([one, two])
    assert one.registry.collect(["n0", "n1"]) == []
    time.now += 2 * DAY
    assert one.registry.collect(["n0", "n1", "n2"]) == []
    three.pull(one)
    three.pull(one)  # says only now that it has it
    assert [record.name for record in one.registry.collect(["n0", "n1", "n2"])] == ["x"]
    assert one.registry.tombstones() == []


def test_a_node_that_returns_after_a_week_brings_back_nothing_that_was_removed() -> None:
    _, others, away = agent_removed_while_away()
    converge([*others, away])
    for node in (*others, away):
        assert set(node.content()) == {("agent", "y")}


def test_it_brings_back_nothing_by_way_of_a_new_node_either() -> None:
    time, others, away = agent_removed_while_away()
    new = Node("n9", time)
    new.pull(away)
    assert ("agent", "x") in new.content()
    converge([new, *others, away])
    for node in (new, *others, away):
        assert set(node.content()) == {("agent", "y")}


def test_what_only_the_returning_node_knows_is_kept() -> None:
    _, others, away = agent_removed_while_away()
    away.registry.put("agent", "mine", b"unseen")
    converge([*others, away])
    for node in (*others, away):
        assert set(node.content()) == {("agent", "y"), ("agent", "mine")}


def test_what_was_let_go_is_known_after_a_restart() -> None:
    _, others, away = agent_removed_while_away()
    for node in others:
        node.restart()
    others[0].pull(away)
    converge([*others, away])
    assert set(others[0].content()) == set(away.content()) == {("agent", "y")}


def test_a_name_that_was_removed_can_be_given_again() -> None:
    _, others, away = agent_removed_while_away()
    others[0].registry.put("agent", "x", b"another")
    converge([*others, away])
    assert away.content()["agent", "x"] == b"another"


def test_what_moved_often_and_was_removed_long_ago_does_not_outrank_its_successor() -> None:
    """Nobody has the tombstone any more that says in which epoch the first agent of this name ended."""
    time, nodes = cluster(3)
    one, two, away = nodes
    say_agent(one, "x")
    for _ in range(5):
        say_agent(one, "x", raised=1_000)
    converge(nodes)
    time.now += 60
    two.registry.remove("agent", "x")
    converge([one, two])
    time.now += 8 * DAY
    converge([one, two])
    for node in (one, two):
        assert len(node.registry.collect(["n0", "n1"])) == 1
    successor = say_agent(two, "x")
    new = Node("n9", time)
    new.pull(away)
    converge([new, one, two, away])
    for node in (new, one, two, away):
        assert node.registry.get("agent", "x") == successor


def test_what_was_discarded_stays_so_whatever_its_epoch() -> None:
    time, nodes = cluster(2)
    one, two = nodes
    say_agent(one, "x")
    time.now += 60
    moved = say_agent(one, "x", raised=1)
    converge(nodes)
    gone = two.registry.discard(("agent", "x"))
    two.restart()
    assert two.registry.merge([moved]) == []
    assert one.registry.merge([gone]) == [gone]


def test_a_node_put_back_from_a_backup_gets_its_own_changes_again() -> None:
    time, nodes = cluster(3)
    one, two = nodes[:2]
    one.registry.put("agent", "old", b"")
    converge(nodes)
    backup = one.backup()
    time.now += DAY
    lost = one.registry.put("agent", "lost", b"")
    two.pull(one)
    time.now += DAY
    one.boot(backup)
    converge(nodes)
    fresh = one.registry.put("agent", "fresh", b"")
    assert fresh.hlc > lost.hlc
    converge(nodes)
    for node in nodes:
        assert {name for _, name in node.content()} == {"old", "lost", "fresh"}


def test_also_when_it_writes_before_anybody_told_it_of_them() -> None:
    """Its vector then claims what it does not have; that copies differ shows it."""
    time, nodes = cluster(3)
    one, two, three = nodes
    one.registry.put("agent", "old", b"")
    converge(nodes)
    backup = one.backup()
    time.now += DAY
    one.registry.put("agent", "lost", b"")
    one.registry.remove("agent", "old")
    three.pull(one)
    time.now += DAY
    one.boot(backup)
    one.registry.put("agent", "fresh", b"")
    two.pull(one)
    converge(nodes)
    for node in nodes:
        assert {name for _, name in node.content()} == {"lost", "fresh"}


def test_a_clock_that_was_put_back_numbers_behind_what_the_others_have_seen() -> None:
    _, (one, two) = cluster(2)
    backup = one.backup()
    last = one.registry.put("agent", "x", b"")
    two.pull(one)
    one.skew = -3_600.0
    one.boot(backup)
    one.pull(two)
    assert one.registry.put("agent", "x", b"2").hlc > last.hlc


def test_a_clock_far_ahead_is_not_followed_and_is_told() -> None:
    time, nodes = cluster(3)
    one, two, three = nodes
    three.skew = 120.0
    ahead = three.registry.put("agent", "x", b"")
    assert two.registry.ahead(ahead)
    two.pull(three)
    assert two.content() == {}
    mine = two.registry.put("agent", "y", b"")
    assert mine.hlc < ahead.hlc
    time.now += 90
    converge(nodes)
    assert {name for _, name in one.content()} == {"x", "y"}
