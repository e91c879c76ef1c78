"""Conversations, capabilities, topics and tasks: bodies of requests, arguments of operations, views.

Owns these shapes. Must never decide anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from caxton.protocol.errors import ErrorBody
from caxton.protocol.views import MessageView

Label = Annotated[str, Meta(min_length=1, max_length=128)]

# ---- conversations ---------------------------------------------------------------------------------


class ConversationListing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conversations; `agent` is either party."""

    limit: int = 50
    cursor: str | None = None
    protocol: str | None = None
    state: str | None = None
    agent: str | None = None
    open: bool = False


class TalkView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where two parties of a conversation are in a protocol.

    `allowed`: what may be said next, as `role: performative`; `deadline`: when it ends by itself; `steps` were
    taken so far, the last of them is `message_id`.
    """

    conversation_id: str
    protocol: str
    initiator: str
    participant: str
    state: str
    message_id: str
    steps: int
    started_at: str
    updated_at: str
    allowed: list[str] = []
    deadline: str | None = None
    ended_at: str | None = None


class ConversationView(msgspec.Struct, frozen=True):
    """Answer of GET /conversations/{id}: protocols, and the messages in the order of their acceptance.

    `next_cursor` leads to earlier messages.
    """

    conversation_id: str
    protocols: list[TalkView]
    messages: list[MessageView]
    next_cursor: str | None = None


# ---- capabilities ----------------------------------------------------------------------------------


class Strategy(StrEnum):
    """How one of the agents that offer a capability is chosen."""

    LEAST_LOAD = "least_load"
    ROUND_ROBIN = "round_robin"
    PRIORITY = "priority"


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent that offers a capability; with strategy `priority` the highest number is asked first."""

    agent: str
    priority: Annotated[int, Meta(ge=1, le=10)] = 5


class CapabilityBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /capabilities/{name}: replaces what was registered before."""

    strategy: Strategy = Strategy.LEAST_LOAD
    providers: Annotated[list[Provider], Meta(max_length=1_000)] = []


class CapabilitySet(msgspec.Struct, frozen=True):
    """Register a capability."""

    name: str
    body: CapabilityBody


class ProviderView(msgspec.Struct, frozen=True):
    """`source`: `deployment` or `registered`; `available`: takes messages now; `load` = messages before a new one."""

    agent: str
    source: str
    available: bool
    load: int
    priority: int


class CapabilityView(msgspec.Struct, frozen=True):
    """Answer of GET /capabilities/{name}."""

    name: str
    strategy: Strategy
    providers: list[ProviderView]


# ---- topics ----------------------------------------------------------------------------------------


class SubscriberBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /topics/{name}/subscribe and /unsubscribe."""

    agent: str


class Subscribe(msgspec.Struct, frozen=True):
    """Subscribe an agent to a topic, or (`on` false) end that."""

    topic: str
    agent: str
    on: bool = True


class SubscriberView(msgspec.Struct, frozen=True):
    """One subscriber. `since` RFC 3339."""

    agent: str
    since: str


class TopicView(msgspec.Struct, frozen=True):
    """Answer of GET /topics/{name}; in lists without the names."""

    name: str
    count: int
    subscribers: list[SubscriberView] = []


# ---- tasks -----------------------------------------------------------------------------------------


class Select(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best bid: the least or greatest number at `field` (dotted) of its content, or what `chooser` says."""

    field: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    order: Annotated[str, Meta(pattern="^(?:min|max)$")] = "min"
    chooser: str | None = None


class TaskBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Body of POST /tasks. `reply_by`: until when bids are taken; `finish_by`: until when the work must be done."""

    capability: str
    select: Select
    reply_by: str
    content: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    finish_by: str | None = None
    ontology: Label | None = None
    language: Label | None = None
    priority: Annotated[int, Meta(ge=1, le=10)] = 5


class TaskCreate(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a task; the same id again is the same task. Times in seconds since the epoch."""

    task_id: str
    owner: str
    capability: str
    content: bytes
    select: Select
    reply_by: float
    finish_by: float | None = None
    ontology: str | None = None
    language: str | None = None
    priority: int = 5
    traceparent: str | None = None


class TaskListing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tasks."""

    limit: int = 50
    cursor: str | None = None
    state: str | None = None
    capability: str | None = None


class BidView(msgspec.Struct, frozen=True):
    """One bidder. `state`: called, proposed, refused, failed, expired, accepted, rejected, done, cancelled."""

    agent: str
    state: str
    at: str
    value: float | None
    content: msgspec.Raw


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of GET /tasks/{id}. `state`: calling, choosing, awarded, done, failed, cancelled.

    The task's id is the conversation in which all of it was said.
    """

    task_id: str
    state: str
    capability: str
    owner: str
    content: msgspec.Raw
    select: Select
    created_at: str
    reply_by: str
    finish_by: str
    finished_at: str | None = None
    winner: str | None = None
    result: Any = msgspec.UNSET
    error: ErrorBody | None = None
    bids: list[BidView] = []
