"""Rows of conversations, capabilities, topics and tasks.

Owns plain typed values only, as `rows` does. Must never hold a connection or know SQL. Times are seconds since
the epoch.
"""

from __future__ import annotations

import msgspec


class ConversationRow(msgspec.Struct, frozen=True, gc=False):
    """Where two parties are in a protocol. `message_id` and `reply_with` are those of the last step.

    `deadline`: when it ends by itself; `ended_at` is set in a state that allows nothing more.
    """

    conversation_id: str
    protocol: str
    initiator: str
    participant: str
    state: str
    message_id: str
    started_at: float
    updated_at: float
    reply_with: str | None = None
    deadline: float | None = None
    ended_at: float | None = None
    steps: int = 1
    seq: int = 0


class ProviderRow(msgspec.Struct, frozen=True):
    """An agent that the operator registered for a capability; a higher `priority` is asked first."""

    agent: str
    priority: int = 5


class CapabilityRow(msgspec.Struct, frozen=True):
    """What is registered of a capability; `strategy` empty and no providers: nothing."""

    name: str
    strategy: str = ""
    providers: list[ProviderRow] = []


class ChoiceRow(msgspec.Struct, frozen=True, gc=False):
    """The agent that a conversation got for a capability."""

    conversation_id: str
    name: str
    agent: str
    at: float


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task. `field`/`order` or `chooser` say how the best bid is found; `digest`: what the client asked for.

    `reply_by`: bids are taken until then; `finish_by`: the choice and the work are.
    """

    task_id: str
    state: str
    capability: str
    owner: str
    content: bytes
    digest: bytes
    created_at: float
    reply_by: float
    finish_by: float
    field: str | None = None
    order: str = "min"
    chooser: str | None = None
    ontology: str | None = None
    language: str | None = None
    priority: int = 5
    traceparent: str | None = None
    winner: str | None = None
    result: bytes | None = None
    code: str | None = None
    detail: str | None = None
    finished_at: float | None = None


class BidRow(msgspec.Struct, frozen=True, gc=False):
    """What became of the call to one bidder; `value` and `content` of its bid stay where None is written."""

    task_id: str
    agent: str
    state: str
    at: float
    value: float | None = None
    content: bytes | None = None
