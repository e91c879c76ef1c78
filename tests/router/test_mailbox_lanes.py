"""A mailbox whose conversations are split between two versions, changed at any moment: the order holds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from caxton.router.mailbox import MAIN, SIDE, Entry, LaneOf, Mailbox
from caxton.router.versions.lanes import lane_of

TALKS = 6


def entry(number: int) -> Entry:
    return Entry(str(number), "one", f"talk-{number % TALKS}", 5, None, "client:t", 1, None, "durable", b"", 0.0)


class Model:
    """A mailbox, what is out of it, and what was handled, in that order."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.mailbox = Mailbox()
        self.lanes: LaneOf | None = None
        self.count = 0
        self.out: list[Entry] = []
        self.handled: list[Entry] = []

    def put(self) -> None:
        self.mailbox.put(entry(self.count))
        self.count += 1

    def take(self, lane: int) -> bool:
        able = self.mailbox.ready_in(lane)
        taken = self.mailbox.take(lane)
        assert (taken is not None) == able
        if taken is not None:
            assert lane == (MAIN if self.lanes is None else self.lanes(taken.conversation_id))
            self.out.append(taken)
        return able

    def end(self) -> None:
        ended = self.out.pop(self.chance.randrange(len(self.out)))
        self.mailbox.settle(ended)
        self.handled.append(ended)

    def give_back(self) -> None:
        self.mailbox.put_back(self.out.pop(self.chance.randrange(len(self.out))))

    def split(self, lanes: LaneOf | None) -> None:
        self.lanes = lanes
        self.mailbox.split(lanes)

    def step(self) -> None:
        steps = [self.put, lambda: self.take(MAIN), lambda: self.take(SIDE)]
        if self.out:
            steps += [self.end, self.give_back]
        self.chance.choice(steps)()


@given(st.integers(0, 2**32), st.lists(st.integers(0, 100), min_size=1, max_size=6))
def test_every_conversation_keeps_its_order_through_every_split(seed: int, percents: list[int]) -> None:
    model = Model(random.Random(seed))
    for percent in percents:
        for _ in range(20):
            model.step()
        model.split(lane_of(percent, "salt") if percent <= 90 else None)
    model.split(None)
    while model.out or model.take(MAIN):
        model.end()
    assert len(model.handled) == model.count
    assert model.mailbox.count == 0
    for talk in range(TALKS):
        numbers = [int(one.message_id) for one in model.handled if one.conversation_id == f"talk-{talk}"]
        assert numbers == sorted(numbers)


def test_a_share_is_a_share_and_the_same_one_every_time() -> None:
    names = [f"conversation-{number}" for number in range(10_000)]

    def chosen(percent: float, salt: str) -> set[str]:
        lanes = lane_of(percent, salt)
        return {name for name in names if lanes(name) == SIDE}

    for percent in (0.5, 10, 50, 100):
        assert abs(len(chosen(percent, "agent/2")) / len(names) - percent / 100) < 0.02
        assert chosen(percent, "agent/2") == chosen(percent, "agent/2")
    assert chosen(10, "agent/2") != chosen(10, "agent/3"), "not always the same conversations are tried on"
