"""Host functions that only the router can answer: `load`, `request` and (passed on) `http`, `secret`.

Owns who waits for whom inside the node, and finds the circles. Must never write anything but the message
of a `request`, which is accepted on its own, outside the execution's transaction.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

import msgspec

from caxton.protocol.agents import Instance
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import HostCall, HostReply
from caxton.protocol.messages import Message, Outcome, Performative, State
from caxton.protocol.snapshots import RESTORE
from caxton.router.boxes import Box, Boxes, Flight
from caxton.router.commits import Commits
from caxton.router.egress import Egress
from caxton.router.intake import REQUEST, Intake
from caxton.router.keys import Keys
from caxton.router.mailbox import Entry, Place
from caxton.router.replies import answer, failure_content
from caxton.router.secrets import Secrets
from caxton.router.snapshots.service import Snapshots
from caxton.router.talks.addressing import Addressing
from caxton.router.waiters import Waiter, Waiters
from caxton.store import CommitResult
from caxton.store.reader import Reader

INVALID: Final = -2
LIMIT: Final = -3
NOT_FOUND: Final = -4
UNAVAILABLE: Final = -6
TIMEOUT: Final = -7
DEADLOCK: Final = -8

_REFUSALS: Final = {
    Code.AGENT_NOT_FOUND: NOT_FOUND,
    Code.MAILBOX_FULL: LIMIT,
    Code.STORAGE_FULL: LIMIT,
    Code.PAYLOAD_TOO_LARGE: LIMIT,
    Code.CONFLICT: INVALID,
    Code.INVALID_REQUEST: INVALID,
    Code.PROTOCOL_VIOLATION: INVALID,
}
_encoder: Final = msgspec.msgpack.Encoder()


class _Wait(NamedTuple):
    """An execution that waits for a reply; `late` ends that at the request's `reply_by`."""

    message_id: str
    waiter: Waiter
    late: asyncio.TimerHandle | None


class HostCalls:
    """Answers the host calls of executions under way."""

    def __init__(
        self,
        boxes: Boxes,
        intake: Intake,
        addressing: Addressing,
        keys: Keys,
        waiters: Waiters,
        commits: Commits,
        reader: Reader,
        snapshots: Snapshots,
        egress: Egress,
        secrets: Secrets,
    ) -> None:
        self._boxes = boxes
        self._addressing = addressing
        self._egress = egress
        self._secrets = secrets
        self._intake = intake
        self._keys = keys
        self._waiters = waiters
        self._commits = commits
        self._reader = reader
        self._snapshots = snapshots
        self._waiting: dict[int, _Wait] = {}
        self._loop = asyncio.get_running_loop()

    def called(self, flight: Flight, call: HostCall) -> None:
        """Answers at once, or when the reply is there."""
        if call.kind == "load" and call.key is not None:
            value = self._keys.load(flight.box.agent.name, call.key)
            _answer(flight, call, NOT_FOUND if value is None else 0, value or b"")
        elif call.kind == "request" and call.message is not None:
            self._request(flight, call, call.message)
        elif call.kind == RESTORE:
            self._snapshots.asked(flight, call)
        elif call.kind == "http":
            self._egress.fetch(flight, call)
        elif call.kind == "secret" and call.key is not None:
            _answer(flight, call, *self._secrets.hand_out(flight.box.spec, call.key))
        elif call.kind == "count" and call.key is not None:
            _answer(flight, call, self._addressing.count(call.key))
        else:
            _answer(flight, call, UNAVAILABLE)

    def awake(self, flight: Flight) -> None:
        """The execution waits no more, whatever became of what it waited for."""
        flight.waits_for = None
        self._egress.forget(flight)
        wait = self._waiting.pop(flight.exec_id, None)
        if wait is not None:
            self._waiters.remove(wait.message_id, wait.waiter)
            if wait.late is not None:
                wait.late.cancel()

    def _request(self, flight: Flight, call: HostCall, message: Message) -> None:
        self.awake(flight)
        asked = message
        if ":" in message.receiver:
            try:
                message = self._intake.addressed(message)
            except CaxtonError as refusal:
                _answer(flight, call, _REFUSALS.get(refusal.code, UNAVAILABLE))
                return
        known = self._boxes.live.get(message.message_id)
        box = self._boxes.get(message.receiver)
        if box is not None and self._intake.is_here(message) and self._would_deadlock(flight, box, known, message):
            _answer(flight, call, DEADLOCK)
            return
        try:
            self._intake.offer(message, REQUEST)
        except CaxtonError as refusal:
            _answer(flight, call, _REFUSALS.get(refusal.code, UNAVAILABLE))
            return
        if asked is not message:
            self._addressing.capabilities.keep(asked, message)

        def settled(outcome: Outcome) -> None:
            self.awake(flight)
            _answer(flight, call, *_reply_of(message, outcome))

        flight.waits_for = message.message_id
        late = self._at_deadline(flight, call, message.reply_by)
        self._waiting[flight.exec_id] = _Wait(message.message_id, settled, late)
        self._waiters.add(message.message_id, settled)
        if known is None:
            self._commits.after(lambda result: self._accepted(message.message_id, result))

    def _at_deadline(self, flight: Flight, call: HostCall, reply_by: float | None) -> asyncio.TimerHandle | None:
        """The asking worker looks at its clock too; but it is not the one whose word counts."""
        if reply_by is None:
            return None

        def too_late() -> None:
            self.awake(flight)
            _answer(flight, call, TIMEOUT)

        return self._loop.call_later(max(reply_by - time.time(), 0.0), too_late)

    def _accepted(self, message_id: str, result: CommitResult) -> None:
        """A second run of the same code asks the same again: it gets the first answer."""
        if message_id in result.duplicates:
            known = self._reader.known([message_id]).get(message_id)
            if known is not None and known.outcome is not None:
                self._waiters.settle(message_id, known.outcome)

    def _would_deadlock(self, asking: Flight, box: Box, known: Entry | None, message: Message) -> bool:
        """Whether nothing that this request would wait for can ever go on.

        An execution goes on unless it waits for a message; a message goes on if it is being handled by one
        that does, or if its agent has a place free, or one that will become free.
        """
        seen = {asking.exec_id}
        ahead = self._in_front(box, known, message.conversation_id)
        while ahead is not None and ahead:
            flight = ahead.pop()
            if flight.exec_id in seen:
                continue
            seen.add(flight.exec_id)
            more = self._waits_on(flight)
            if more is None:
                return False
            ahead.extend(more)
        return ahead is not None

    def _waits_on(self, flight: Flight) -> list[Flight] | None:
        """The executions of which one must end before this one goes on; None = it can go on by itself."""
        first = flight.box.first()
        if first is not None and first is not flight and flight.box.agent.instance is Instance.PERSISTENT:
            return [first]  # it waits in the worker for the instance
        entry = self._boxes.live.get(flight.waits_for) if flight.waits_for is not None else None
        box = self._boxes.get(entry.agent) if entry is not None else None
        if entry is None or box is None or entry.place is Place.AWAY:
            return None
        return self._in_front(box, entry, entry.conversation_id)

    def _in_front(self, box: Box, entry: Entry | None, conversation_id: str) -> list[Flight] | None:
        if entry is not None and entry.place is Place.OUT:
            flight = box.flight(entry.exec_id)
            return None if flight is None else [flight]
        head = box.mailbox.head(conversation_id)
        if head is not None and head is not entry and head.place is Place.OUT:
            flight = box.flight(head.exec_id)
            return None if flight is None else [flight]
        serving = box.serving(conversation_id)
        if ahead := serving.in_the_way():
            return ahead
        if len(serving.running) < serving.agent.max_concurrency:
            return None
        return list(serving.running.values())


def _reply_of(request: Message, outcome: Outcome) -> tuple[int, bytes]:
    """Status and value: the whole reply; nothing for a message that was handled without one."""
    if outcome.state is State.EXPIRED:
        return TIMEOUT, b""
    if outcome.state is State.CANCELLED:
        return UNAVAILABLE, b""
    performative, content = outcome.performative, outcome.content
    if performative is None and outcome.code is not None:
        performative, content = Performative.FAILURE, failure_content(outcome.code, outcome.detail)
    if performative is None:
        return 0, b""
    return 0, _encoder.encode(answer(request, performative, content or b"null"))


def _answer(flight: Flight, call: HostCall, status: int, data: bytes = b"") -> None:
    if flight.worker.link is not None:
        flight.worker.link.send(HostReply(flight.exec_id, call.call_id, status, data))
