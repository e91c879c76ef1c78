"""The mailbox against a naive model: order per conversation, priority between heads, backoff, deadlines."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from caxton.router.mailbox import Entry, Mailbox, Place


def entry(number: int, conversation: str, priority: int = 5, reply_by: float | None = None) -> Entry:
    return Entry(
        message_id=str(number),
        agent="a",
        conversation_id=conversation,
        priority=priority,
        reply_by=reply_by,
        sender="client:t",
        size=number % 7,
        message=None,
        delivery="durable",
        digest=b"",
        accepted_at=0.0,
    )


@dataclass
class Known:
    """One message of the model; the list's order is that of acceptance."""

    entry: Entry
    state: str = "here"  # here, out
    until: float = 0.0


class MailboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.mailbox = Mailbox()
        self.model: list[Known] = []
        self.now = 1.0
        self.number = 0

    def heads(self) -> list[Known]:
        first: dict[str, Known] = {}
        for known in self.model:
            first.setdefault(known.entry.conversation_id, known)
        return list(first.values())

    def out(self) -> list[Known]:
        return [known for known in self.model if known.state == "out"]

    @rule(
        conversation=st.sampled_from("abc"),
        priority=st.integers(1, 10),
        lifetime=st.none() | st.integers(1, 20),
    )
    def put(self, conversation: str, priority: int, lifetime: int | None) -> None:
        self.number += 1
        made = entry(self.number, conversation, priority, None if lifetime is None else self.now + lifetime)
        self.mailbox.put(made)
        self.model.append(Known(made))

    @rule()
    def take(self) -> None:
        able = [known for known in self.heads() if known.state == "here" and known.until <= 0]
        taken = self.mailbox.take()
        if not able:
            assert taken is None
            return
        best = max(able, key=lambda known: (known.entry.priority, -known.entry.sequence))
        assert taken is best.entry
        best.state = "out"

    @precondition(lambda self: self.out())
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self.out()))
        self.mailbox.settle(known.entry)
        self.model.remove(known)

    @precondition(lambda self: self.out())
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self.out()))
        self.mailbox.put_back(known.entry)
        known.state = "here"

    @precondition(lambda self: self.out())
    @rule(data=st.data(), delay=st.integers(1, 10))
    def back_off(self, data: st.DataObject, delay: int) -> None:
        known = data.draw(st.sampled_from(self.out()))
        self.mailbox.back_off(known.entry, self.now + delay)
        known.state, known.until = "here", self.now + delay

    @precondition(lambda self: any(known.state == "here" for known in self.model))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from([known for known in self.model if known.state == "here"]))
        self.mailbox.remove(known.entry)
        self.model.remove(known)

    @rule(step=st.integers(1, 8))
    def time_passes(self, step: int) -> None:
        expected = self.mailbox.next_event()
        self.now += step
        late = [known for known in self.model if known.state == "here" and self.is_late(known)]
        due = [known for known in self.model if known.state == "here" and 0 < known.until <= self.now]
        if late or due:
            assert expected is not None
            assert expected <= self.now
        expired = self.mailbox.expired(self.now)
        assert {made.message_id for made in expired} == {known.entry.message_id for known in late}
        for known in late:
            self.model.remove(known)
        self.mailbox.wake(self.now)
        for known in due:
            known.until = 0.0

    def is_late(self, known: Known) -> bool:
        return known.entry.reply_by is not None and known.entry.reply_by <= self.now

    @invariant()
    def sums_agree(self) -> None:
        assert self.mailbox.count == len(self.model)
        assert self.mailbox.out == len(self.out())
        assert self.mailbox.byte_count == sum(known.entry.size for known in self.model)
        assert [made.message_id for made in self.mailbox.entries()] == [
            known.entry.message_id for known in self.model
        ]
        able = any(known.state == "here" and known.until <= 0 for known in self.heads())
        assert self.mailbox.has_ready == able


TestMailbox = MailboxMachine.TestCase
TestMailbox.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_priority_never_breaks_the_order_of_a_conversation() -> None:
    mailbox = Mailbox()
    for made in (entry(1, "talk", 1), entry(2, "talk", 10), entry(3, "other", 5)):
        mailbox.put(made)
    order = []
    while (made := mailbox.take()) is not None:
        order.append(made.message_id)
        mailbox.settle(made)
    assert order == ["3", "1", "2"]


def test_heaps_do_not_grow_with_messages_long_gone() -> None:
    mailbox = Mailbox()
    for number in range(5_000):
        mailbox.put(entry(number, str(number), reply_by=1e12))
        made = mailbox.take()
        assert made is not None
        mailbox.settle(made)
    assert mailbox.count == 0
    assert len(mailbox._deadlines) < 200


def test_a_message_that_comes_back_after_its_deadline_is_found_when_it_expires() -> None:
    mailbox = Mailbox()
    mailbox.put(entry(1, "talk", reply_by=5.0))
    made = mailbox.take()
    assert made is not None
    assert mailbox.expired(6.0) == []
    mailbox.back_off(made, 100.0)
    assert mailbox.expired(7.0) == [made]
    assert made.place is Place.GONE


def taken(mailbox: Mailbox) -> list[str]:
    order = []
    while (one := mailbox.take()) is not None:
        order.append(one.message_id)
        mailbox.settle(one)
    return order


def test_what_waited_here_goes_behind_what_came_with_the_agent() -> None:
    mailbox = Mailbox()
    for number in (1, 2, 4):
        one = entry(number, "a")
        one.handed = number < 4
        mailbox.put(one)
    mailbox.put_behind_handed(entry(3, "a"))
    assert mailbox.count == 4
    assert taken(mailbox) == ["1", "2", "3", "4"]


def test_first_is_behind_the_one_that_is_out_and_before_all_others() -> None:
    mailbox = Mailbox()
    for number in (1, 3):
        mailbox.put(entry(number, "a"))
    out = mailbox.take()
    assert out is not None
    mailbox.put_first(entry(2, "a"))
    mailbox.settle(out)
    mailbox.put_first(entry(0, "a"))
    assert taken(mailbox) == ["0", "2", "3"]
