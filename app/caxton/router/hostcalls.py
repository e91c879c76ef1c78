"""Host functions that only the router can answer: `load` and `request`.

Owns who waits for whom inside the node, and finds the circles. Must never write anything but the message
of a `request`, which is accepted on its own, outside the execution's transaction.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol.agents import Instance
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import HostCall, HostReply
from caxton.protocol.messages import Message, Outcome, State
from caxton.router.boxes import Box, Boxes, Flight
from caxton.router.commits import Commits
from caxton.router.intake import REQUEST, Intake
from caxton.router.keys import Keys
from caxton.router.mailbox import Entry, Place
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
}


class HostCalls:
    """Answers the host calls of executions under way."""

    def __init__(
        self, boxes: Boxes, intake: Intake, keys: Keys, waiters: Waiters, commits: Commits, reader: Reader
    ) -> None:
        self._boxes = boxes
        self._intake = intake
        self._keys = keys
        self._waiters = waiters
        self._commits = commits
        self._reader = reader
        self._waiting: dict[int, tuple[str, Waiter]] = {}

    def called(self, flight: Flight, call: HostCall) -> None:
        """Answers at once, or when the reply is there."""
        if call.kind == "load" and call.key is not None:
            value = self._keys.load(flight.box.agent.name, call.key)
            _answer(flight, call, NOT_FOUND if value is None else 0, value or b"")
        elif call.kind == "request" and call.message is not None:
            self._request(flight, call, call.message)
        else:
            _answer(flight, call, UNAVAILABLE)

    def awake(self, flight: Flight) -> None:
        """The execution waits no more, whatever became of what it waited for."""
        flight.waits_for = None
        waiting = self._waiting.pop(flight.exec_id, None)
        if waiting is not None:
            self._waiters.remove(*waiting)

    def _request(self, flight: Flight, call: HostCall, message: Message) -> None:
        self.awake(flight)
        known = self._boxes.live.get(message.message_id)
        box = self._boxes.get(message.receiver)
        if box is not None and self._would_deadlock(flight, box, known, message):
            _answer(flight, call, DEADLOCK)
            return
        try:
            self._intake.offer(message, REQUEST)
        except CaxtonError as refusal:
            _answer(flight, call, _REFUSALS.get(refusal.code, UNAVAILABLE))
            return

        def settled(outcome: Outcome) -> None:
            self._waiting.pop(flight.exec_id, None)
            flight.waits_for = None
            _answer(flight, call, *_reply_of(outcome))

        flight.waits_for = message.message_id
        self._waiting[flight.exec_id] = (message.message_id, settled)
        self._waiters.add(message.message_id, settled)
        if known is None:
            self._commits.after(lambda result: self._accepted(message.message_id, result))

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
        if entry is None or box is None:
            return None
        return self._in_front(box, entry, entry.conversation_id)

    def _in_front(self, box: Box, entry: Entry | None, conversation_id: str) -> list[Flight] | None:
        if entry is not None and entry.place is Place.OUT:
            flight = box.running.get(entry.exec_id)
            return None if flight is None else [flight]
        head = box.mailbox.head(conversation_id)
        if head is not None and head is not entry and head.place is Place.OUT:
            flight = box.running.get(head.exec_id)
            return None if flight is None else [flight]
        if len(box.running) < box.agent.max_concurrency:
            return None
        return list(box.running.values())


def _reply_of(outcome: Outcome) -> tuple[int, bytes]:
    if outcome.state is State.EXPIRED:
        return TIMEOUT, b""
    if outcome.state is State.CANCELLED:
        return UNAVAILABLE, b""
    return 0, outcome.content or b""


def _answer(flight: Flight, call: HostCall, status: int, data: bytes = b"") -> None:
    if flight.worker.link is not None:
        flight.worker.link.send(HostReply(flight.exec_id, call.call_id, status, data))
