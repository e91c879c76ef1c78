"""Accepting messages: who may still get one, and what makes two submissions the same.

Owns the checks at acceptance, backpressure and the digest for deduplication. Must never run anything, and
must never say "accepted" before the commit that carries the message.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import msgspec

from caxton.config import Config
from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.fipa import is_checked
from caxton.protocol.messages import Message
from caxton.protocol.names import CAPABILITY_PREFIX
from caxton.router.access.accounts import Account
from caxton.router.access.storage import ENTRY_BYTES
from caxton.router.aftermath import Aftermath
from caxton.router.agents import unknown_agent
from caxton.router.boxes import Box, Boxes, Gate
from caxton.router.commits import Commits
from caxton.router.mailbox import Entry
from caxton.router.pressure import Pressures
from caxton.router.talks.capabilities import Capabilities
from caxton.router.talks.conversations import Conversations
from caxton.router.tracing import spans
from caxton.store import Accept

EPHEMERAL: Final = "ephemeral"
DURABLE: Final = "durable"
REQUEST: Final = "request"
"""Durable; its reply goes to the guest that waits for it, never into a mailbox."""

_DISK_CHECK_SECONDS: Final = 2.0
_NOT_TAKING: Final = frozenset({AgentStatus.DRAINING, AgentStatus.STOPPED, AgentStatus.FAILED})
_encoder: Final = msgspec.msgpack.Encoder()


def digest_of(message: Message) -> bytes:
    """16 bytes over everything that a sender chose; not over ids and defaults that the node makes up."""
    chosen = (
        message.performative,
        message.sender,
        message.receiver,
        message.content,
        message.reply_with,
        message.in_reply_to,
        message.protocol,
        message.ontology,
        message.language,
    )
    return blake2b(_encoder.encode(chosen), digest_size=16).digest()


def digest_of_entry(entry: Entry) -> bytes:
    """The digest of an entry's message; that of an ephemeral one is made when somebody asks."""
    if not entry.digest and entry.message is not None:
        entry.digest = digest_of(entry.message)
    return entry.digest


def new_entry(message: Message, delivery: str, now: float, digest: bytes, attempts: int = 0) -> Entry:
    """The mailbox's view of a message."""
    return Entry(
        message_id=message.message_id,
        agent=message.receiver,
        conversation_id=message.conversation_id,
        priority=message.priority,
        reply_by=message.reply_by,
        sender=message.sender,
        size=len(message.content) + ENTRY_BYTES,
        message=message,
        delivery=delivery,
        digest=digest,
        accepted_at=now,
        attempts=attempts,
    )


class Intake:
    """Takes messages from clients, from guests and from timers."""

    def __init__(
        self,
        boxes: Boxes,
        commits: Commits,
        aftermath: Aftermath,
        pressure: Pressures,
        wake: Callable[[Box], None],
        talks: Conversations,
        capabilities: Capabilities,
    ) -> None:
        self._boxes = boxes
        self._capabilities = capabilities
        self._talks = talks
        self._commits = commits
        self._aftermath = aftermath
        self._wake = wake
        self._low_disk = False
        self._disk_checked = 0.0
        self._pressure = pressure
        self.live = boxes.live

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._boxes.config

    def offer(self, message: Message, delivery: str) -> Entry:
        """Begins to accept a client's message; raises the refusal. Durable after this turn's commit.

        A live message of the same id is joined: the entry that is given back is the first one's. A step of a
        checked protocol is durable whatever was asked for, as its conversation's state is.
        """
        if ":" in message.receiver:
            return self._offer_addressed(message, delivery)
        known = self._boxes.live.get(message.message_id)
        if known is not None:
            if digest_of_entry(known) != digest_of(message):
                raise conflict(message.message_id)
            return known
        elsewhere = self._boxes.elsewhere
        if elsewhere is not None and elsewhere.takes(message):
            if message.protocol is not None and ":" not in message.sender:
                self._talks.admit(message)  # what clients say is checked where the agent lives
            return elsewhere.offer(message, delivery)
        box = self.receiving_box(message.receiver)
        if delivery != DURABLE and box.gate is not None and not box.gate.is_open:
            raise _quarantined(box, box.gate)
        self._require_room(box, message)
        if box.account is not None or ":" not in message.sender:
            self._require_quota(box, message, delivery)
        if message.protocol is not None:
            self._talks.admit(message)
            delivery = DURABLE if delivery == EPHEMERAL and is_checked(message.protocol) else delivery
        return self.enter(box, message, delivery)

    def addressed(self, message: Message) -> Message:
        """The message to the one agent that it is for; raises `INVALID_REQUEST` where that is not one."""
        if not message.receiver.startswith(CAPABILITY_PREFIX):
            raise CaxtonError(
                Code.INVALID_REQUEST,
                f"receiver: {message.receiver[:80]!r} is not one agent that could answer",
                path="receiver",
                expected="an agent's name or capability:NAME",
            )
        return self._capabilities.resolve(message)

    def _offer_addressed(self, message: Message, delivery: str) -> Entry:
        found = self.addressed(message)
        entry = self.offer(found, delivery)
        self._capabilities.keep(message, found)
        return entry

    def receiving_box(self, receiver: str) -> Box:
        """The box of an agent that takes messages now, or the refusal."""
        box = self._boxes.get(receiver)
        if box is None:
            raise unknown_agent(receiver)
        if not box.open or box.agent.status in _NOT_TAKING:
            status = str(box.agent.status)
            raise CaxtonError(
                Code.AGENT_STOPPED, f"agent {receiver!r} is {status}; start it first", name=receiver, status=status
            )
        return box

    def admit(self, message: Message) -> None:
        """A step of a checked protocol moves its conversation; raises `PROTOCOL_VIOLATION`."""
        self._talks.admit(message)

    def is_here(self, message: Message) -> bool:
        """Whether this node handles the message, should it take it."""
        elsewhere = self._boxes.elsewhere
        return elsewhere is None or not elsewhere.takes(message)

    def destination(self, message: Message) -> Box | None:
        """The box that the message goes into, or the refusal; None: the outbox, as another node handles it."""
        return self.receiving_box(message.receiver) if self.is_here(message) else None

    def enter(
        self,
        box: Box | None,
        message: Message,
        delivery: str,
        accepted_at: float | None = None,
        attempts: int = 0,
    ) -> Entry:
        """Puts a message on its way into the mailbox, without any check: effects of an execution may not fail.

        `box` as `destination` gave it; `accepted_at`: when another node accepted it; `attempts` that failed there.
        """
        if box is None:
            assert self._boxes.elsewhere is not None  # that is what None says
            return self._boxes.elsewhere.enter(message, delivery, attempts)
        now = time.time() if accepted_at is None else accepted_at
        digest = b"" if delivery == EPHEMERAL else digest_of(message)
        entry = new_entry(message, delivery, now, digest, attempts)
        payer = self._payer(box, message)
        if payer is not None:
            payer.sent()
        if delivery == EPHEMERAL:
            self._boxes.remember(entry)
            box.unsaved += 1
            box.mailbox.put(entry)
            spans.sent(entry)
            self._wake(box)
        else:
            if box.account is not None:
                box.account.stored(entry.size)
            elsewhere = self._boxes.elsewhere
            # What another node passes on has nobody else to handle it, also when it was passed on from here once.
            home = accepted_at is not None or (elsewhere is not None and elsewhere.is_home(message.receiver))
            accept = Accept(message, now, digest, delivery, attempts=attempts, home=home)
            self._commits.changes.accept.append(accept)
            self._aftermath.arrive(box, entry)
        self._pressure.grown(box)
        return entry

    def has_room(self, box: Box) -> bool:
        """Whether a message that can as well come later should be accepted now."""
        limits = self._boxes.config.messaging
        return box.load < limits.mailbox_size and self._boxes.queued < limits.queue_size and not self.low_disk

    @property
    def low_disk(self) -> bool:
        """Whether the disk is below its mark: running work still commits, nothing new is accepted."""
        now = time.monotonic()
        if now - self._disk_checked > _DISK_CHECK_SECONDS:
            self._disk_checked = now
            found = os.statvfs(self._boxes.config.paths.data)
            self._low_disk = found.f_bavail * found.f_frsize < self._boxes.config.messaging.low_disk_bytes
        return self._low_disk

    def _payer(self, box: Box, message: Message) -> Account | None:
        """Whose quota a message is on: the sending agent's namespace's; what clients and timers send, the receiver's.

        So nobody can use up another namespace's messages but whoever may send to all of them.
        """
        if ":" in message.sender:
            return box.account
        sender = self._boxes.get(message.sender)
        return box.account if sender is None else sender.account

    def _require_quota(self, box: Box, message: Message, delivery: str) -> None:
        payer = self._payer(box, message)
        if payer is not None:
            payer.require_message()
        if box.account is not None and delivery != EPHEMERAL:
            box.account.require_bytes(len(message.content) + ENTRY_BYTES)

    def _require_room(self, box: Box, message: Message) -> None:
        limits = self._boxes.config.messaging
        require_size(message, limits.max_message_size)
        if box.load >= limits.mailbox_size:
            raise full(f"the mailbox of {box.agent.name!r}", limits.mailbox_size)
        self.require_queue()

    def require_queue(self) -> None:
        """Raises `MAILBOX_FULL` or `STORAGE_FULL` when the node takes nothing more, whoever it is for."""
        limits = self._boxes.config.messaging
        if self._boxes.queued >= limits.queue_size:
            raise full("the node's queue", limits.queue_size)
        if self.low_disk:
            raise CaxtonError(
                Code.STORAGE_FULL,
                "the node's disk is below its low mark; nothing new is accepted until there is room",
                low_disk_bytes=limits.low_disk_bytes,
            )


def conflict(message_id: str) -> CaxtonError:
    """The same id was used for something else."""
    return CaxtonError(
        Code.CONFLICT,
        "this message_id was used for another message; give a new message a new id",
        message_id=message_id,
    )


def _quarantined(box: Box, gate: Gate) -> CaxtonError:
    """Who waits for an answer is told that there will be none soon; other messages wait in the mailbox."""
    agent = box.agent
    return CaxtonError(
        Code.AGENT_QUARANTINED,
        f"{agent.name!r} is quarantined: {agent.status_reason or 'its instance does not start'}; "
        "durable messages are kept, `start` ends it",
        name=agent.name,
        retry_after_seconds=max(1, math.ceil(gate.until - time.time())),
    )


def require_size(message: Message, limit: int) -> None:
    """`PAYLOAD_TOO_LARGE` for a content of more than `limit` bytes."""
    if len(message.content) > limit:
        raise CaxtonError(
            Code.PAYLOAD_TOO_LARGE,
            f"content: {len(message.content)} bytes, at most {limit} are taken",
            path="content",
            found_bytes=len(message.content),
            limit_bytes=limit,
        )


def full(what: str, limit: int) -> CaxtonError:
    """The refusal of a bound of messages."""
    return CaxtonError(
        Code.MAILBOX_FULL, f"{what} is full ({limit} messages); try again later", retry_after_seconds=1, limit=limit
    )
