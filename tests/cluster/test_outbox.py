"""The outbox as a pure thing: order, windows, pauses."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from caxton.cluster.outbox import BATCH_BYTES, FIRST_PAUSE, LONGEST_PAUSE, Batch, Outbox


@dataclass(frozen=True)
class Letter:
    message_id: str
    agent: str
    conversation_id: str = "c"
    size: int = 100


def box(*letters: Letter, **more: int) -> Outbox[Letter]:
    made: Outbox[Letter] = Outbox(**more)
    for letter in letters:
        made.put(letter)
    return made


def letters(agent: str, count: int, **more: object) -> list[Letter]:
    return [Letter(f"{agent}{number}", agent, **more) for number in range(count)]  # type: ignore[arg-type] # of a test


def ids(batch: Batch[Letter]) -> list[str]:
    return [item.message_id for item in batch.items]


def test_batches_are_in_order_and_one_at_a_time_for_each_receiver() -> None:
    outbox = box(*letters("a", 5), *letters("b", 2), batch_items=3)
    first = outbox.ready(0.0, lambda _: "n1")
    assert [(batch.receiver, ids(batch)) for batch in first] == [("a", ["a0", "a1", "a2"]), ("b", ["b0", "b1"])]
    assert outbox.ready(0.0, lambda _: "n1") == []
    outbox.ended(first[0], first[0].items, 0.0)
    assert [ids(batch) for batch in outbox.ready(0.0, lambda _: "n1")] == [["a3", "a4"]]


def test_what_was_not_taken_comes_first_again_after_a_pause_that_grows() -> None:
    outbox = box(*letters("a", 3))
    now, pauses = 0.0, []
    for _ in range(10):
        (batch,) = outbox.ready(now, lambda _: "n1")
        assert ids(batch) == ["a0", "a1", "a2"]
        outbox.ended(batch, [], now)
        assert outbox.ready(now, lambda _: "n1") == []
        again = outbox.next_try()
        assert again is not None
        pauses.append(again - now)
        now = again
    assert pauses[0] == pytest.approx(FIRST_PAUSE)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)


def test_a_receiver_that_rests_holds_up_no_other() -> None:
    outbox = box(*letters("a", 1), *letters("b", 1))
    for batch in outbox.ready(0.0, lambda _: "n1"):
        outbox.ended(batch, [] if batch.receiver == "a" else batch.items, 0.0)
    outbox.put(Letter("b1", "b"))
    assert [batch.receiver for batch in outbox.ready(0.0, lambda _: "n1")] == ["b"]


def test_a_change_of_members_ends_every_pause() -> None:
    outbox = box(*letters("a", 1))
    assert outbox.ready(0.0, lambda _: None) == []
    assert outbox.ready(0.0, lambda _: "n1") == []
    outbox.wake()
    assert len(outbox.ready(0.0, lambda _: "n1")) == 1


def test_a_conversation_waits_for_what_is_under_way_to_another_node() -> None:
    outbox = box(Letter("1", "a", "x"))
    (batch,) = outbox.ready(0.0, lambda _: "n1")
    outbox.put(Letter("2", "a", "x"))
    outbox.put(Letter("3", "a", "y"))
    (other,) = outbox.ready(0.0, lambda _: "n2")
    assert ids(other) == ["3"]
    outbox.ended(batch, [], 0.0)
    outbox.wake()
    outbox.ended(other, other.items, 0.0)
    outbox.wake()
    assert [ids(one) for one in outbox.ready(0.0, lambda _: "n2")] == [["1", "2"]]


def test_what_cannot_go_now_is_passed_by_other_conversations_only() -> None:
    outbox = box(Letter("1", "a", "x"), Letter("2", "a", "y"), Letter("3", "a", "x"))
    places = {"1": None, "2": "n1", "3": "n1"}
    assert [ids(batch) for batch in outbox.ready(0.0, lambda one: places[one.message_id])] == [["2"]]


def test_batches_are_bounded_in_bytes_and_one_that_is_larger_goes_alone() -> None:
    outbox = box(Letter("1", "a", size=2 * BATCH_BYTES), Letter("2", "a", size=BATCH_BYTES // 2 + 1))
    outbox.put(Letter("3", "a", size=BATCH_BYTES // 2))
    seen = []
    while found := outbox.ready(0.0, lambda _: "n1"):
        seen += [ids(batch) for batch in found]
        for batch in found:
            outbox.ended(batch, batch.items, 0.0)
    assert seen == [["1"], ["2"], ["3"]]


def test_so_many_batches_at_a_time_go_to_one_node() -> None:
    outbox = box(*(Letter(f"{number}", f"r{number}") for number in range(5)), batches_per_node=2)
    assert len(outbox.ready(0.0, lambda _: "n1")) == 2
    outbox.wake()
    assert len(outbox.ready(0.0, lambda _: "n2")) == 2


def test_what_is_taken_out_is_not_sent_and_what_is_under_way_stays() -> None:
    outbox = box(*letters("a", 4), batch_items=2)
    (batch,) = outbox.ready(0.0, lambda _: "n1")
    assert [one.message_id for one in outbox.take_all("a")] == ["a2", "a3"]
    assert outbox.count("a") == 2
    assert outbox.is_under_way(batch.items[0])
    outbox.ended(batch, batch.items, 0.0)
    assert len(outbox) == 0
    assert outbox.receivers() == {}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_fails_each_conversation_arrives_in_order_and_all_of_it(seed: int) -> None:
    chance = random.Random(seed)
    outbox = box(batch_items=4, batches_per_node=3)
    accepted: dict[tuple[str, str], list[str]] = {}
    arrived: dict[tuple[str, str], list[str]] = {}
    seen: set[str] = set()
    under_way: list[Batch[Letter]] = []
    owner = {f"c{number}": "n1" for number in range(4)}
    now = 0.0
    for number in range(400):
        letter = Letter(f"{number}", f"r{chance.randrange(3)}", f"c{chance.randrange(4)}")
        outbox.put(letter)
        accepted.setdefault((letter.agent, letter.conversation_id), []).append(letter.message_id)
        if chance.random() < 0.05:
            owner[f"c{chance.randrange(4)}"] = chance.choice(("n1", "n2"))
            outbox.wake()
        now += chance.random() * 0.1
        under_way += outbox.ready(now, lambda one: owner[one.conversation_id])
        while under_way and chance.random() < 0.6:
            _end(outbox, under_way.pop(chance.randrange(len(under_way))), chance, now, seen, arrived)
    while len(outbox):
        now += 1.0
        under_way += outbox.ready(now, lambda one: owner[one.conversation_id])
        while under_way:
            _end(outbox, under_way.pop(0), chance, now, seen, arrived)
    assert arrived == accepted


def _end(
    outbox: Outbox[Letter],
    batch: Batch[Letter],
    chance: random.Random,
    now: float,
    seen: set[str],
    arrived: dict[tuple[str, str], list[str]],
) -> None:
    """It arrives in part or whole, and its answer may be lost; what came before is dropped by its id."""
    got = batch.items[: chance.randrange(len(batch.items) + 1)]
    for letter in got:
        if letter.message_id not in seen:
            seen.add(letter.message_id)
            arrived.setdefault((letter.agent, letter.conversation_id), []).append(letter.message_id)
    outbox.ended(batch, got if chance.random() < 0.7 else [], now)
