"""The calls of clients on the hot path: submit, invoke, cancel.

Owns what a caller is told and when. Must never touch a worker: the scheduler does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.messages import Delivery, Message, Outcome, State
from caxton.protocol.names import TOPIC_PREFIX
from caxton.protocol.operations import Invoke
from caxton.protocol.views import InvokeView, ItemView
from caxton.router.boxes import Boxes
from caxton.router.commits import Commits
from caxton.router.intake import DURABLE, EPHEMERAL, Intake, conflict, digest_of, digest_of_entry
from caxton.router.mailbox import Entry, Place
from caxton.router.talks.addressing import Addressing, Publication
from caxton.router.waiters import Waiters, invoke_view
from caxton.store import CommitResult, Known
from caxton.store.reader import Reader

Ticket = Entry | ErrorBody | Publication


class Calls:
    """`cancel_live(entry)` ends a message that is not settled yet."""

    def __init__(
        self,
        boxes: Boxes,
        intake: Intake,
        addressing: Addressing,
        waiters: Waiters,
        commits: Commits,
        reader: Reader,
        cancel_live: Callable[[Entry], None],
    ) -> None:
        self._boxes = boxes
        self._intake = intake
        self._addressing = addressing
        self._waiters = waiters
        self._commits = commits
        self._reader = reader
        self._cancel_live = cancel_live

    async def submit(self, messages: list[Message], delivery: Delivery) -> list[ItemView]:
        """Accepts each message on its own; the answer arrives when all that were accepted are durable."""
        kind = EPHEMERAL if delivery is Delivery.EPHEMERAL else DURABLE
        joined: set[int] = set()
        tickets = [self._ticket(message, kind, joined, index) for index, message in enumerate(messages)]
        result = CommitResult()
        if any(not isinstance(ticket, ErrorBody) and not _is_ephemeral(ticket) for ticket in tickets):
            result = await self._commits.written()
        ended = [one.message_id for one in tickets if not isinstance(one, ErrorBody) and _is_over(one)]
        seen = [*result.duplicates, *ended]
        known = self._reader.known(seen) if seen else {}
        return [
            _item(message, ticket, known, joined=index in joined)
            for index, (message, ticket) in enumerate(zip(messages, tickets, strict=True))
        ]

    async def invoke(self, args: Invoke, *, patient: bool = False) -> InvokeView:
        """Waits for the outcome of one message; raises `CaxtonError` with the code of its failure.

        `patient`: whoever asks goes on waiting when the router has restarted.
        """
        message = args.message
        ephemeral = args.delivery is Delivery.EPHEMERAL
        if ephemeral and args.idempotent and message.message_id not in self._boxes.live:
            known = self._reader.known([message.message_id]).get(message.message_id)
            if known is not None and known.outcome is not None and known.outcome.state is not State.FORWARDED:
                return _earlier(message, known)
        joined = message.message_id in self._boxes.live
        entry = self._intake.offer(message, EPHEMERAL if ephemeral else DURABLE)
        entry.idempotent = entry.idempotent or args.idempotent
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settled(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self._waiters.add(message.message_id, settled, patient=patient)
        try:
            async with asyncio.timeout(args.timeout_seconds):
                if entry.delivery != EPHEMERAL and not joined:
                    self._look_back(message, await self._commits.written(), settled)
                return invoke_view(message, await future)
        except TimeoutError:
            raise CaxtonError(
                Code.EXECUTION_TIMEOUT,
                f"no reply within {args.timeout_seconds:g} s",
                message_id=message.message_id,
                timeout_seconds=args.timeout_seconds,
            ) from None
        finally:
            alone = self._waiters.remove(message.message_id, settled)
            unanswered = future.cancelled() or not future.done()
            if alone and unanswered and entry.delivery == EPHEMERAL:
                self._cancel_live(entry)  # nobody is left to whom its answer matters

    async def cancel(self, message_id: str) -> None:
        """Cancels a message that waits, or the execution that handles it; `MESSAGE_NOT_FOUND`, `CONFLICT`."""
        entry = self._boxes.live.get(message_id)
        if entry is None or entry.place is Place.GONE or self._is_leaving(entry):
            await self._refuse_cancel(message_id)
            return
        done = asyncio.get_running_loop().create_future()
        self._waiters.add(message_id, lambda outcome: None if done.done() else done.set_result(outcome))
        self._cancel_live(entry)
        outcome = await done
        if outcome.state is not State.CANCELLED:
            raise CaxtonError(Code.CONFLICT, f"the message ended as {outcome.state} before it could be cancelled")

    async def _refuse_cancel(self, message_id: str) -> None:
        """A message that is not live cannot be cancelled: cancelled already is fine, all else is refused."""
        await self._commits.drain()
        known = self._reader.known([message_id]).get(message_id)
        if known is None or known.state is State.FORWARDED or message_id in self._boxes.live:
            raise CaxtonError(Code.MESSAGE_NOT_FOUND, f"no message has the id {message_id[:64]!r}")
        if known.state is not State.CANCELLED:
            raise CaxtonError(Code.CONFLICT, f"the message has ended already: {known.state}", state=str(known.state))

    def _is_leaving(self, entry: Entry) -> bool:
        elsewhere = self._boxes.elsewhere
        return entry.place is Place.AWAY and elsewhere is not None and elsewhere.is_leaving(entry)

    def _look_back(self, message: Message, result: CommitResult, settled: Callable[[Outcome], None]) -> None:
        """The id was known to the store: its outcome is the answer, a running one's is waited for."""
        if message.message_id not in result.duplicates:
            return
        known = self._reader.known([message.message_id]).get(message.message_id)
        if known is None:
            return
        if known.digest != digest_of(message):
            raise conflict(message.message_id)
        if known.outcome is None:
            return
        if known.outcome.state is not State.FORWARDED:
            settled(known.outcome)
        elif self._boxes.elsewhere is not None:
            self._boxes.elsewhere.follow(message)

    def _ticket(self, message: Message, kind: str, joined: set[int], index: int) -> Ticket:
        if message.message_id in self._boxes.live:
            joined.add(index)
        try:
            if message.receiver.startswith(TOPIC_PREFIX):
                return self._addressing.publish(message)
            return self._intake.offer(message, kind)
        except CaxtonError as refusal:
            return refusal.body()


def _is_ephemeral(ticket: Entry | Publication) -> bool:
    return isinstance(ticket, Entry) and ticket.delivery == EPHEMERAL


def _is_over(ticket: Entry | Publication) -> bool:
    """Whether what the caller is told is what was stored."""
    return ticket.place is Place.GONE if isinstance(ticket, Entry) else ticket.deliveries is None


def _digest(ticket: Entry | Publication) -> bytes:
    return ticket.digest if isinstance(ticket, Publication) else digest_of_entry(ticket)


def _earlier(message: Message, known: Known) -> InvokeView:
    if known.digest != digest_of(message):
        raise conflict(message.message_id)
    assert known.outcome is not None
    return invoke_view(message, known.outcome)


def _item(message: Message, ticket: Ticket, known: dict[str, Known], *, joined: bool) -> ItemView:
    if isinstance(ticket, ErrorBody):
        return ItemView(message.message_id, error=ticket)
    earlier = known.get(message.message_id)
    if isinstance(ticket, Publication) and (earlier is None or ticket.deliveries is not None):
        return ItemView(message.message_id, State.DONE, deliveries=ticket.deliveries)
    if earlier is not None:
        if earlier.digest != _digest(ticket):
            return ItemView(message.message_id, error=conflict(message.message_id).body())
        return ItemView(message.message_id, earlier.state)
    assert isinstance(ticket, Entry)
    return ItemView(message.message_id, State.IN_FLIGHT if joined and ticket.place is Place.OUT else State.PENDING)
