"""FIPA-ACL messages (spec/messages.md; FIPA SC00061): the model, its checks, its JSON.

Owns what a valid message is, on every border. Must never deliver one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

MAX_CORRELATION_LENGTH: Final = 128
DEFAULT_PRIORITY: Final = 5


class Performative(StrEnum):
    """The communicative acts that a node takes."""

    REQUEST = "request"
    QUERY_IF = "query_if"
    QUERY_REF = "query_ref"
    INFORM = "inform"
    AGREE = "agree"
    REFUSE = "refuse"
    FAILURE = "failure"
    NOT_UNDERSTOOD = "not_understood"
    CFP = "cfp"
    PROPOSE = "propose"
    ACCEPT_PROPOSAL = "accept_proposal"
    REJECT_PROPOSAL = "reject_proposal"
    SUBSCRIBE = "subscribe"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    DISCONFIRM = "disconfirm"


class State(StrEnum):
    """Where a message is in its life. `IN_FLIGHT` is never on disk: after a crash it is pending again."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    DEAD = "dead"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FORWARDED = "forwarded"


class Delivery(StrEnum):
    """How much a message is worth: on disk before it runs, or one attempt that the caller repeats."""

    DURABLE = "durable"
    EPHEMERAL = "ephemeral"


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message as it is stored and as it crosses borders inside the node.

    `content` is JSON text in UTF-8 (for `language = "bytes"`: the JSON string of the base64).
    `reply_by` is in seconds since the epoch. `traceparent` is W3C trace context.
    """

    message_id: str
    performative: str
    sender: str
    receiver: str
    content: bytes
    conversation_id: str
    priority: int = DEFAULT_PRIORITY
    reply_with: str | None = None
    in_reply_to: str | None = None
    reply_by: float | None = None
    protocol: str | None = None
    ontology: str | None = None
    language: str | None = None
    traceparent: str | None = None


class Execution(msgspec.Struct, frozen=True, gc=False):
    """What one execution cost. `fuel` only in the `deterministic` profile."""

    id: str
    duration_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    fuel: int | None = None


class Outcome(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How a message ended, kept with it for as long as its id is remembered.

    `performative`/`content` are the reply's (`inform`, `failure` or what the agent chose); both empty for
    a handler that did not reply. `code` is set when the node, not the agent, ended it.
    """

    state: State
    performative: str | None = None
    content: bytes | None = None
    code: str | None = None
    detail: str | None = None
    execution: Execution | None = None
