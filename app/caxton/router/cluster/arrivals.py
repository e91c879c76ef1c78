"""Messages out of other nodes' outboxes, and the outcomes that those ask for.

Owns their acceptance here: the checks of acceptance were made there, so what is left is who lives here, room, and
the id, by which a message that came before is not taken twice. Must never pass one on: a node that is not the agent's
says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.messages import Message, Outcome, State
from caxton.protocol.names import TASK_PREFIX, TASKS
from caxton.protocol.peers import Awaited, Posted
from caxton.protocol.views import ItemView
from caxton.router.agents import unknown_agent
from caxton.router.boxes import Box, Boxes
from caxton.router.cluster.places import Places, not_here
from caxton.router.cluster.waits import Waits
from caxton.router.intake import Intake, conflict, digest_of, digest_of_entry, full
from caxton.router.outcomes import Outcomes
from caxton.store import CommitResult

LATER: Final = frozenset(
    {Code.MAILBOX_FULL, Code.STORAGE_FULL, Code.NOT_READY, Code.DRAINING, Code.RATE_LIMITED, Code.INTERNAL_ERROR}
)
"""Refusals of a moment; every other one ends the message."""
LONGEST_LOOK_SECONDS: Final = 120.0

Rest = Callable[[str], Box | None]
"""The closed mailbox of an agent that lives here and is stopped."""


class Arrivals:
    """`rest(name)` opens no mailbox: what comes for a stopped agent waits for its start."""

    def __init__(self, boxes: Boxes, intake: Intake, outcomes: Outcomes, places: Places, rest: Rest) -> None:
        self._boxes = boxes
        self._intake = intake
        self._outcomes = outcomes
        self._places = places
        self._rest = rest
        self.waits = Waits()
        """Agents that are on their way to this node: only their old home's mail is taken, and kept for them."""
        self.duplicates = 0
        """Messages that had come before."""
        self._watchers: list[Callable[[str, list[str]], None]] = []

    def watch(self, callback: Callable[[str, list[str]], None]) -> None:
        """Calls `callback` with a node and the ids of what came from there although it had come before."""
        self._watchers.append(callback)

    async def deliver(self, posted: list[Posted], origin: str) -> list[ItemView]:
        """Takes each, in order; durable when answered. Behind one that has to come later, all do."""
        known = [one.message.message_id for one in posted if one.message.message_id in self._boxes.live]
        answers: list[ItemView] = []
        later: ErrorBody | None = None
        for one in posted:
            item = self._take(one, origin) if later is None else ItemView(one.message.message_id, error=later)
            later = item.error if item.error is not None and item.error.code in LATER else None
            answers.append(item)
        if any(one.error is None for one in answers):
            result = await self._outcomes.commits.written()
            known += [one.message_id for one in answers if one.message_id in result.duplicates]
            answers = self._seen_before(posted, answers, result)
        self._suppressed(origin, known)
        return answers

    def _suppressed(self, origin: str, message_ids: list[str]) -> None:
        self.duplicates += len(message_ids)
        for callback in self._watchers if message_ids else ():
            callback(origin, message_ids)

    def _seen_before(self, posted: list[Posted], answers: list[ItemView], result: CommitResult) -> list[ItemView]:
        """An id that came before is not taken twice; `CONFLICT` where it came with something else."""
        duplicates = [one.message_id for one in answers if one.message_id in result.duplicates]
        if not duplicates:
            return answers
        known = self._outcomes.reader.known(duplicates)
        digests = {one.message.message_id: digest_of(self._addressed(one.message)) for one in posted}
        return [
            ItemView(one.message_id, error=conflict(one.message_id or "").body())
            if one.error is None
            and (earlier := known.get(one.message_id or "")) is not None
            and earlier.digest != digests[one.message_id or ""]
            else one
            for one in answers
        ]

    async def outcome(self, args: Awaited) -> Outcome:
        """How a message ended that this node has; `EXECUTION_TIMEOUT` when it has not yet."""
        waiters = self._outcomes.aftermath.waiters
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        settled = partial(_settled, future)
        waiters.add(args.message_id, settled, patient=True)
        try:
            if args.message_id not in self._boxes.live:
                await self._look_up(args.message_id, future)
            async with asyncio.timeout(min(args.timeout_seconds, LONGEST_LOOK_SECONDS)):
                return await future
        except TimeoutError:
            raise CaxtonError(
                Code.EXECUTION_TIMEOUT, "the message has not ended yet", message_id=args.message_id
            ) from None
        finally:
            waiters.remove(args.message_id, settled)

    async def _look_up(self, message_id: str, future: asyncio.Future[Outcome]) -> None:
        await self._outcomes.commits.written()
        known = self._outcomes.reader.known([message_id]).get(message_id)
        if known is None:
            raise CaxtonError(
                Code.MESSAGE_NOT_FOUND, f"no message has the id {message_id[:64]!r}", message_id=message_id[:64]
            )
        if known.outcome is not None and known.outcome.state is State.FORWARDED:
            raise not_here(known.agent)
        if known.outcome is not None:
            _settled(future, known.outcome)

    def _take(self, one: Posted, origin: str) -> ItemView:
        message = self._addressed(one.message)
        live = self._boxes.live.get(message.message_id)
        if live is not None:
            same = digest_of_entry(live) == digest_of(message)
            error = None if same else conflict(message.message_id).body()
            return ItemView(message.message_id, State.PENDING if same else None, error)
        try:
            if message.receiver == TASKS:
                self._outcomes.tasks.receive(message, admitted=True)
            else:
                self._enter(message, one, origin)
        except CaxtonError as refusal:
            return ItemView(message.message_id, error=refusal.body())
        return ItemView(message.message_id, State.PENDING)

    def _addressed(self, message: Message) -> Message:
        """What is said to this node's tasks from elsewhere."""
        if message.receiver == f"{TASK_PREFIX}{self._places.node_id}":
            return msgspec.structs.replace(message, receiver=TASKS)
        return message

    def _enter(self, message: Message, one: Posted, origin: str) -> None:
        if message.receiver in self.waits:
            self._keep(message, one, origin)
            return
        box = self._boxes.get(message.receiver) or self._rest(message.receiver)
        if box is None or not self._is_home(message.receiver):
            raise self._nobody(message.receiver)
        if not self._intake.has_room(box):
            self._intake.require_queue()
            raise full(f"the mailbox of {message.receiver!r}", self._intake.config.messaging.mailbox_size)
        if ":" not in message.sender or message.sender.startswith(TASK_PREFIX):
            self._outcomes.follow_step(message)
        elif message.protocol is not None:
            self._intake.admit(message)
        self._intake.enter(box, message, one.delivery, one.accepted_at, one.attempts)

    def _keep(self, message: Message, one: Posted, origin: str) -> None:
        """Of an agent that is on its way here only the old home's mail comes in: it has passed all checks there."""
        if self.waits.peer(message.receiver) != origin:
            raise self._nobody(message.receiver)
        assert self._boxes.elsewhere is not None  # this node is one of several
        self._boxes.elsewhere.enter(message, one.delivery, one.attempts, handed=True)

    def _is_home(self, receiver: str) -> bool:
        record = self._places.record(receiver)
        return record is None or record.home is None or record.home == self._places.node_id

    def _nobody(self, receiver: str) -> CaxtonError:
        record = self._places.record(receiver)
        if record is None and self._places.records.is_removed(receiver):
            return unknown_agent(receiver)
        return not_here(receiver, 0 if record is None else record.epoch)


def _settled(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
