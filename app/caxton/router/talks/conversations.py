"""Conversations that follow a protocol: where each pair of parties is, and what may be said next.

Owns the check at acceptance and the deadlines of steps. A state changes with the commit that accepts the message
which moves it, never apart from that. Must never touch a message without a checked protocol, nor deliver one
itself: `tell` does.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from caxton.protocol import fipa
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.fipa import Role
from caxton.protocol.messages import Message, Performative
from caxton.protocol.names import TASK_PREFIX, TASKS
from caxton.router.aftermath import Aftermath
from caxton.router.boxes import Boxes
from caxton.router.commits import Commits
from caxton.router.replies import is_agent, overdue
from caxton.store import ConversationRow
from caxton.store.reader import Reader

KEPT: Final = 10_000
"""Standings held in memory; the others are on disk and read when they are needed."""
_AT_ONCE: Final = 500  # deadlines that one turn of the loop looks after
_SOONEST: Final = 0.02
_LONGEST_WAIT: Final = 3600.0  # the wall clock may be set: look again at least this often
Key = tuple[str, str, str, str]
"""Conversation, protocol, initiator, participant."""


@dataclass(slots=True)
class _Kept:
    row: ConversationRow
    writes: int = 0
    """Changes of it that are not durable yet: until they are, memory knows more than the disk."""


class Conversations:
    """`tell(message)` delivers what the node says in the place of a party that was silent for too long."""

    def __init__(
        self,
        boxes: Boxes,
        commits: Commits,
        aftermath: Aftermath,
        reader: Reader,
        emit: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._boxes = boxes
        self._commits = commits
        self._aftermath = aftermath
        self._reader = reader
        self._emit = emit
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._alarm: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._violations = 0
        self._expired = 0
        self.tell: Callable[[Message], None]

    def start(self) -> None:
        """Looks after the deadlines that an earlier life left."""
        self._watch(self._reader.talks.next_deadline())

    def reread(self, agent: str) -> None:
        """Others have written on disk where the agent's conversations are."""
        for key in [key for key, kept in self._kept.items() if agent in key[2:] and not kept.writes]:
            del self._kept[key]
        self._watch(self._reader.talks.next_deadline())

    def stop(self) -> None:
        """No deadline passes any more; those on disk stay."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def figures(self) -> dict[str, int]:
        """Counts since the start, for the metrics."""
        return {"protocol_violations": self._violations, "conversations_expired": self._expired}

    def admit(self, message: Message) -> None:
        """Lets a message that is being accepted move its conversation; raises `PROTOCOL_VIOLATION`.

        A message that was accepted before moves nothing: the store tells that it is a duplicate.
        """
        if not fipa.is_checked(message.protocol) or self._reader.known([message.message_id]):
            return
        now = time.time()
        standings = self._standings(message, now)
        if not self._stepped(message, message.performative, standings, now):
            self._begin(message, standings, now)

    def follow(self, message: Message) -> None:
        """A step of an agent elsewhere, which its node has let pass: it moves what it may move here, unrefused.

        Where steps of both sides crossed, this node may see another state than that one did.
        """
        if not fipa.is_checked(message.protocol) or self._reader.known([message.message_id]):
            return
        now = time.time()
        standings = self._standings(message, now)
        if self._stepped(message, message.performative, standings, now):
            return
        if not standings and fipa.after(message.protocol or "", fipa.NEW, Role.INITIATOR, message.performative):
            self._begin(message, standings, now)

    def task_elsewhere(self, message: Message) -> str | None:
        """The node, as a receiver, whose task the message's sender is in: to agents every node's is `task:node`."""
        for row in self._reader.talks.conversation(message.conversation_id):
            if row.participant == message.sender and row.initiator.startswith(TASK_PREFIX) and row.initiator != TASKS:
                return row.initiator
        return None

    def failing(self, handled: Message) -> bool:
        """The node is about to answer `handled` with a failure: whether it should still be delivered.

        Where that is a step, it is taken. Where the conversation is over, whoever waited has been told.
        """
        if not fipa.is_checked(handled.protocol):
            return True
        now = time.time()
        step = _turned(handled)
        standings = self._standings(step, now)
        if self._stepped(step, Performative.FAILURE, standings, now):
            return True
        return not any(row.ended_at is not None for _, row in standings)

    def withdraw(self, message: Message) -> None:
        """The message was cancelled before it was handled; where it was the last step, that was the end."""
        if not fipa.is_checked(message.protocol):
            return
        now = time.time()
        for _, row in self._standings(message, now):
            if row.message_id == message.message_id and row.ended_at is None:
                self._end(row, fipa.CANCELLED, now)

    # ---- steps -------------------------------------------------------------------------------------

    def _stepped(
        self, message: Message, performative: str, standings: list[tuple[Role, ConversationRow]], now: float
    ) -> bool:
        """Moves the conversation by this act, if one of its standings allows that; gives whether it did."""
        for role, row in standings:
            state = fipa.after(row.protocol, row.state, role, performative)
            if state is not None:
                self._move(row, state, message, now)
                return True
        return False

    def _begin(self, message: Message, standings: list[tuple[Role, ConversationRow]], now: float) -> None:
        protocol = message.protocol
        assert protocol is not None  # asked by those who call
        state = fipa.after(protocol, fipa.NEW, Role.INITIATOR, message.performative)
        mine = [row for role, row in standings if role is Role.INITIATOR]
        if state is None or mine:
            self._violations += 1
            raise _violation(message, mine or [row for _, row in standings])
        row = ConversationRow(
            message.conversation_id,
            protocol,
            message.sender,
            message.receiver,
            state,
            message.message_id,
            now,
            now,
            message.reply_with,
            self._deadline(message, now),
        )
        self._keep(row)

    def _move(self, row: ConversationRow, state: str, message: Message, now: float) -> None:
        ended = state in fipa.ENDS
        moved = msgspec.structs.replace(
            row,
            state=state,
            message_id=message.message_id,
            reply_with=message.reply_with,
            deadline=None if ended else self._deadline(message, now),
            updated_at=now,
            ended_at=now if ended else None,
            steps=row.steps + 1,
        )
        self._keep(moved)

    def _end(self, row: ConversationRow, state: str, now: float) -> None:
        self._keep(msgspec.structs.replace(row, state=state, deadline=None, updated_at=now, ended_at=now))

    def _deadline(self, message: Message, now: float) -> float:
        """When the next step must be there: `reply_by`, or one day so late that nobody waits for it any more."""
        return message.reply_by if message.reply_by is not None else now + self._boxes.config.messaging.retention

    def _standings(self, message: Message, now: float) -> list[tuple[Role, ConversationRow]]:
        """Where the parties of `message` are, with the sender's role; what is overdue has ended first."""
        protocol = message.protocol or ""
        one, other = message.sender, message.receiver
        first: Key = (message.conversation_id, protocol, one, other)
        second: Key = (message.conversation_id, protocol, other, one)
        known = {key: self._kept[key].row for key in (first, second) if key in self._kept}
        if len(known) < 2:
            for row in self._reader.talks.between(message.conversation_id, protocol, one, other):
                known.setdefault(_key(row), row)
        for key, row in known.items():
            if row.deadline is not None and row.deadline <= now:
                self._expire(row, now)
                known[key] = self._kept[key].row
        roles = ((Role.INITIATOR, first), (Role.PARTICIPANT, second))
        return [(role, known[key]) for role, key in roles if key in known]

    # ---- memory ------------------------------------------------------------------------------------

    def _keep(self, row: ConversationRow) -> None:
        key = _key(row)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(row)
        kept.row = row
        kept.writes += 1
        self._kept.move_to_end(key)
        self._commits.changes.conversations.append(row)
        self._aftermath.call(partial(self._written, key))

    def _written(self, key: Key) -> None:
        kept = self._kept[key]
        kept.writes -= 1
        if kept.writes == 0 and kept.row.ended_at is not None:
            del self._kept[key]
            return
        self._watch(kept.row.deadline)
        while len(self._kept) > KEPT:
            oldest, one = next(iter(self._kept.items()))
            if one.writes:
                break
            del self._kept[oldest]

    # ---- deadlines ---------------------------------------------------------------------------------

    def _watch(self, deadline: float | None) -> None:
        if deadline is None or (self._due is not None and self._due <= deadline and self._alarm is not None):
            return
        self._due = deadline
        if self._alarm is not None:
            self._alarm.cancel()
        wait = min(max(deadline - time.time(), _SOONEST), _LONGEST_WAIT)
        self._alarm = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._commits.failed is not None:
            return
        now = time.time()
        for row in self._reader.talks.due(now, _AT_ONCE):
            kept = self._kept.get(_key(row))
            current = row if kept is None else kept.row
            if current.deadline is not None and current.deadline <= now:
                self._expire(current, now)
        self._watch(self._reader.talks.next_deadline())

    def _expire(self, row: ConversationRow, now: float) -> None:
        self._end(row, fipa.EXPIRED, now)
        self._expired += 1
        waits = row.initiator if fipa.waiting(row.state) is Role.INITIATOR else row.participant
        silent = row.participant if waits == row.initiator else row.initiator
        self._emit(
            "conversation.expired",
            {"conversation_id": row.conversation_id, "protocol": row.protocol, "state": row.state, "silent": silent},
        )
        if is_agent(waits):
            self.tell(overdue(row, waits, silent))


def _key(row: ConversationRow) -> Key:
    return row.conversation_id, row.protocol, row.initiator, row.participant


def _turned(handled: Message) -> Message:
    """Whoever handled the message speaks; for finding the conversation, not to be sent."""
    return msgspec.structs.replace(
        handled, sender=handled.receiver, receiver=handled.sender, reply_by=None, reply_with=None
    )


def _violation(message: Message, standings: list[ConversationRow]) -> CaxtonError:
    protocol = message.protocol or ""
    state = standings[0].state if standings else fipa.NEW
    may = fipa.allowed(protocol, state)
    said = f"{message.performative} of {message.sender} to {message.receiver}"
    return CaxtonError(
        Code.PROTOCOL_VIOLATION,
        f"{protocol} is in state {state}: {said} is not allowed; {', '.join(may) or 'nothing more'} is",
        path="performative",
        conversation_id=message.conversation_id,
        protocol=protocol,
        state=state,
        found=message.performative,
        allowed=may,
    )
