"""The durable outbox: messages that this node has accepted for agents that live elsewhere.

Owns them from their acceptance until another node has them durably (`forwarded`), or they end here. They are pending
rows like any other, so a crash loses none; a resend is dropped at the other end by its id. A `request` of a guest
stays until its outcome is there, as the guest's waiter gets that. Must never run anything, nor pass a message on that
is not durable here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec

from caxton.cluster.outbox import Batch, Outbox
from caxton.protocol.errors import CaxtonError, ErrorBody
from caxton.protocol.messages import Message, Outcome, State
from caxton.protocol.names import TASK_PREFIX, TASKS
from caxton.protocol.peers import Deliver, Posted
from caxton.protocol.views import ItemView
from caxton.router.agents import unknown_agent
from caxton.router.boxes import Boxes
from caxton.router.cluster.agent_records import STOPPED
from caxton.router.cluster.arrivals import LATER
from caxton.router.cluster.outbox_outcomes import Abroad, Calls, ForgottenError
from caxton.router.cluster.places import Places, unreachable
from caxton.router.intake import EPHEMERAL, REQUEST, digest_of, full, new_entry, require_size
from caxton.router.mailbox import Entry, Place
from caxton.router.outcomes import CANCELLED, Outcomes
from caxton.router.replies import answer, failure_content
from caxton.router.tracing import spans
from caxton.store import Accept, CommitResult, MessageRow, Settle

DELIVER: Final = "peer.deliver"
DELIVER_SECONDS: Final = 15.0
_FORWARDED: Final = Outcome(State.FORWARDED)
_items: Final = msgspec.json.Decoder(list[ItemView]).decode

log = logging.getLogger(__name__)


class Outboxes:
    """One per node; the messages are among `boxes.live`, so that duplicates join them and callers wait for them."""

    def __init__(
        self, boxes: Boxes, outcomes: Outcomes, places: Places, peers: Calls, spawn: Callable[[Any], Any]
    ) -> None:
        self._boxes = boxes
        self._outcomes = outcomes
        self._commits = outcomes.commits
        self._aftermath = outcomes.aftermath
        self.places = places
        self._peers = peers
        self._spawn = spawn
        self._abroad = Abroad(places, peers, self._aftermath.waiters, outcomes.reader.known, spawn)
        self._loop = asyncio.get_running_loop()
        self._outbox: Outbox[Entry] = Outbox()
        self._asked: dict[str, Entry] = {}
        """Requests that another node has, by id: their outcomes are waited for."""
        self._reserved: Counter[str] = Counter()
        """By receiver: what is being committed."""
        self._planned = False
        self._kept: Counter[str] = Counter()
        """Ids of what another node has passed on to this one just now."""
        self._home: list[Entry] = []
        """What turned out, while the next batches were made, to be this node's to handle or to end."""
        self._alarm: asyncio.TimerHandle | None = None
        self._stopped = False
        self.forwarded = 0
        self.resent = 0
        self.on_change: Callable[[], None] = _nobody
        """Called when there may be more in it, or less."""

    # ---- what is in it -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._outbox) + len(self._asked) + self._reserved.total()

    def count(self, receiver: str) -> int:
        """Messages for this receiver that no other node is known to have."""
        return self._outbox.count(receiver) + self._reserved[receiver]

    def receivers(self) -> dict[str, int]:
        """The same, for all of them."""
        return dict(Counter(self._outbox.receivers()) + self._reserved)

    def oldest(self, receiver: str) -> float | None:
        """When the first message that waits for this receiver was accepted, seconds; None: none does."""
        first = next(self._outbox.items(receiver), None)
        return None if first is None else first.accepted_at

    def takes(self, message: Message, *, fresh: bool = False) -> bool:
        """Whether the message is for another node to handle, or for an agent that is on its way to this one.

        What follows a message that waits here, as another node was away when that came, stays here too.
        """
        if message.message_id in self._kept:
            return False
        place = self.places.of_message(message.receiver, message.conversation_id, fresh=fresh)
        record = self.places.record(message.receiver)
        if record is not None and record.home is not None:
            return not self.places.hosted(message.receiver)  # while it leaves, its mailbox here takes it
        if place == self.places.node_id:
            return False
        box = self._boxes.get(message.receiver)
        return box is None or box.mailbox.head(message.conversation_id) is None

    def claims(self, message: Message) -> bool:
        """Whether a message that is pending on disk is another node's, which may have it already.

        The agent is on this node; it need not take messages yet.
        """
        place = self.places.of_message(message.receiver, message.conversation_id, here=True)
        return place != self.places.node_id

    def is_home(self, receiver: str) -> bool:
        """Whether the agent has durable state, and this node is where it lives."""
        record = self.places.record(receiver)
        return record is not None and record.home == self.places.node_id

    @contextmanager
    def kept_here(self, message_ids: list[str]) -> Iterator[None]:
        """Meanwhile these are handled here: they have been passed on once."""
        self._kept.update(message_ids)
        try:
            yield
        finally:
            self._kept -= Counter(message_ids)

    def load(self, receiver: str) -> int | None:
        """How many messages wait here for an agent elsewhere; None: it takes none, or is unknown."""
        record = self.places.record(receiver)
        return None if record is None or record.status == STOPPED else self.count(receiver)

    def offered(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Agents elsewhere, and the capabilities that they offer."""
        return [
            (one.name, one.capabilities) for one in self.places.records.agents() if not self.places.hosted(one.name)
        ]

    # ---- entering ----------------------------------------------------------------------------------

    def offer(self, message: Message, delivery: str) -> Entry:
        """Accepts a message for an agent elsewhere; raises `AGENT_STOPPED`, `MAILBOX_FULL`, `PAYLOAD_TOO_LARGE`."""
        config = self._boxes.config
        if delivery == EPHEMERAL:
            place = self.places.of_message(message.receiver, message.conversation_id)
            raise unreachable(place, repr(message.receiver))
        require_size(message, config.messaging.max_message_size)
        self.places.require_running(message.receiver)
        if len(self) >= config.coordination.outbox_size:
            raise full(f"the outbox for {message.receiver!r} and others", config.coordination.outbox_size)
        sender = self._boxes.get(message.sender)
        if sender is not None and sender.account is not None:
            sender.account.require_message()
        return self.enter(message, delivery)

    def enter(self, message: Message, delivery: str, attempts: int = 0, *, handed: bool = False) -> Entry:
        """The same without any check: effects of an execution may not fail. `handed`: by the agent's old home."""
        sender = self._boxes.get(message.sender)
        if sender is not None and sender.account is not None:
            sender.account.sent()
        entry = new_entry(message, delivery, time.time(), digest_of(message), attempts)
        entry.place = Place.AWAY
        home = self.is_home(message.receiver)
        entry.handed = handed
        self._commits.changes.accept.append(
            Accept(message, entry.accepted_at, entry.digest, delivery, attempts=attempts, home=home, handed=handed)
        )
        self._boxes.remember(entry)
        self._reserved[message.receiver] += 1
        self.on_change()
        self._commits.after(partial(self._accepted, entry))
        return entry

    def _accepted(self, entry: Entry, result: CommitResult) -> None:
        self._reserved[entry.agent] -= 1
        if not self._reserved[entry.agent]:
            del self._reserved[entry.agent]
        if result.error is not None:
            return
        if entry.message_id in result.duplicates:
            self._boxes.forget(entry)
        elif entry.place is not Place.GONE:
            self._put(entry)

    def _put(self, entry: Entry) -> None:
        entry.place = Place.AWAY
        self._outbox.put(entry)
        self.plan()

    def recover(self, receiver: str | None = None) -> None:
        """Takes up pending messages (of one receiver) that no agent here handles."""
        for row in self._outcomes.reader.waiting(receiver):
            if row.message.message_id not in self._boxes.live and self._is_mine(row.message):
                self.take_up(row)

    def take_up(self, row: MessageRow) -> None:
        """A pending message of which only the row is left is in the outbox from now on."""
        entry = new_entry(row.message, row.delivery, row.accepted_at, row.digest, row.attempts)
        entry.handed = row.handed
        self._boxes.remember(entry)
        self._put(entry)

    def take_over(self, entry: Entry) -> None:
        """A message that has left a mailbox here, because its agent lives elsewhere now."""
        self._boxes.remember(entry)
        self._put(entry)

    def let_go(self, receiver: str) -> None:
        """The agent lives here from now on: what is pending on disk is its mailbox. What is under way is awaited."""
        taken = self._outbox.take_all(receiver)
        for entry in taken:
            if self.claims(self._outcomes.message_of(entry)):
                self._outbox.put(entry)  # another replica's conversation
            else:
                self._boxes.forget(entry)
        if taken:
            self.on_change()

    def _is_mine(self, message: Message) -> bool:
        return not self.places.hosted(message.receiver) or self.claims(message)

    # ---- sending -----------------------------------------------------------------------------------

    def plan(self) -> None:
        """Has what can be sent sent before the loop waits again."""
        self.on_change()
        if not self._planned and not self._stopped:
            self._planned = True
            self._loop.call_soon(self._pump)

    def changed(self) -> None:
        """Members, links or records have changed: what rests is tried at once."""
        self._outcomes.addressing.capabilities.changed()
        self._outbox.wake()
        self.plan()

    def stop(self) -> None:
        """Nothing more is sent."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()

    def _pump(self) -> None:
        self._planned = False
        if self._stopped or self._commits.failed is not None:
            return
        for batch in self._outbox.ready(self._loop.time(), self._place):
            self._spawn(self._send(batch))
        home, self._home = self._home, []
        for entry in reversed(home):
            self._came_home(entry)
        if self._alarm is not None:
            self._alarm.cancel()
        at = self._outbox.next_try()
        self._alarm = None if at is None else self._loop.call_at(at, self.plan)

    def _place(self, entry: Entry) -> str | None:
        node = self.places.of_message(entry.agent, entry.conversation_id)
        if node == self.places.node_id:
            self._home.append(entry)
            return None
        return node if node is not None and self.places.reaches(node) else None

    def _came_home(self, entry: Entry) -> None:
        """Its agent lives here now, before everything that came here directly; or nobody has it any more."""
        if self.places.hosted(entry.agent):
            self._outbox.remove(entry)
            box = self._boxes.get(entry.agent)
            if box is None:
                self._boxes.forget(entry)  # it is stopped: what is on disk is its mailbox
            else:
                box.mailbox.put_behind_handed(entry)
                self._outcomes.wake(box)
        elif self.places.record(entry.agent) is None:
            self._outbox.remove(entry)
            self._refused(entry, unknown_agent(entry.agent).body())

    async def _send(self, batch: Batch[Entry]) -> None:
        there: list[Entry] = []
        try:
            posted = [self._posted(entry) for entry in batch.items]
            args = Deliver(self.places.node_id, posted)
            answers = _items(await self._peers.call(batch.node, DELIVER, args, timeout=DELIVER_SECONDS))
            for entry, sent, one in zip(batch.items, posted, answers, strict=True):
                if self._answered(entry, one, batch.node):
                    there.append(entry)
                    error = None if one.error is None else one.error.code.value
                    spans.forwarded(sent.message, batch.node, int(entry.accepted_at * 1e9), error)
        except CaxtonError as error:
            self.resent += len(batch.items)
            log.debug("%d messages for %s wait: %s", len(batch.items), batch.node, error)
        finally:
            self._outbox.ended(batch, there, self._loop.time())
            self.plan()

    def _posted(self, entry: Entry) -> Posted:
        message = self._outcomes.message_of(entry)
        if message.sender == TASKS:  # what is answered to the node itself has to find it again
            message = msgspec.structs.replace(message, sender=f"{TASK_PREFIX}{self.places.node_id}")
        return Posted(message, entry.accepted_at, entry.delivery, entry.attempts)

    def _answered(self, entry: Entry, item: ItemView, node: str) -> bool:
        """Whether the message needs no sending any more."""
        if item.error is not None and item.error.code in LATER:
            return False
        if entry.place is Place.GONE:
            return True
        if item.error is not None:
            self._refused(entry, item.error)
        elif entry.delivery == REQUEST:
            self._asked[entry.message_id] = entry
            self._spawn(self._ask(entry))
        else:
            self._forwarded(entry, node)
        return True

    # ---- ends --------------------------------------------------------------------------------------

    def _forwarded(self, entry: Entry, node: str) -> None:
        """The other node has it: it has its own life there, and whoever waits here waits for that."""
        self.forwarded += 1
        self._settle(entry, _FORWARDED)
        if self._aftermath.waiters.waits(entry.message_id):
            self._aftermath.call(partial(self._boxes.forget, entry))
            self._abroad.follow(self._outcomes.message_of(entry), node)
        else:
            self._aftermath.call(partial(self._aftermath.tell, entry, _FORWARDED))

    def follow(self, message: Message) -> None:
        """Whoever waits here for a message that another node has gets its outcome from there."""
        self._abroad.follow(message)

    async def _ask(self, entry: Entry) -> None:
        """Waits for the outcome of a guest's request."""
        message = self._outcomes.message_of(entry)
        while entry.message_id in self._asked and not self._stopped:
            try:
                outcome = await self._abroad.look(message)
            except ForgottenError:
                del self._asked[entry.message_id]
                self._put(entry)  # that node has lost what it had: it gets it once more
                return
            if outcome is not None:
                self._came_back(entry, message, outcome)
                return

    def _came_back(self, entry: Entry, message: Message, outcome: Outcome) -> None:
        del self._asked[entry.message_id]
        self.forwarded += 1
        if message.protocol is not None and outcome.performative is not None:
            reply = answer(message, outcome.performative, outcome.content or b"null")
            self._outcomes.follow_step(reply)
        self._settle(entry, outcome)
        self._aftermath.call(partial(self._aftermath.tell, entry, outcome))

    def _refused(self, entry: Entry, error: ErrorBody) -> None:
        """The node where the agent lives will never take it: a dead letter here, and its sender is told."""
        message = self._outcomes.message_of(entry)
        content = failure_content(error.code, error.message)
        self._outcomes.answer_failure(message, content, mailbox=entry.delivery != REQUEST)
        self.end(entry, Outcome(State.DEAD, code=error.code, detail=error.message))
        self._outcomes.tell_dead(entry, error.code, error.message)

    def is_leaving(self, entry: Entry) -> bool:
        """Whether another node has the message, or may have it."""
        return entry.message_id in self._asked or self._outbox.is_under_way(entry)

    def cancel(self, entry: Entry) -> None:
        """Ends a message that no other node has, or may have; else nothing happens here."""
        if self.is_leaving(entry):
            return
        self._outbox.remove(entry)
        self._outcomes.withdraw(entry)
        self.end(entry, CANCELLED)

    def end(self, entry: Entry, outcome: Outcome) -> None:
        """It ends here, as this."""
        entry.place = Place.GONE
        self._settle(entry, outcome, outcome.state)
        self._aftermath.call(partial(self._aftermath.tell, entry, outcome))

    def _settle(self, entry: Entry, outcome: Outcome, state: State = State.FORWARDED) -> None:
        entry.place = Place.GONE
        self.on_change()
        self._commits.changes.settle.append(
            Settle(entry.message_id, entry.agent, state, time.time(), outcome, entry.attempts)
        )


def _nobody() -> None:
    """Nobody wants to know."""
