"""The query parameters of lists, as typed models.

Owns which filters a list takes. Must never apply one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Limit = Annotated[int, Meta(ge=1, le=200)]
Cursor = Annotated[str, Meta(min_length=1, max_length=2048)]
Filter = Annotated[str, Meta(min_length=1, max_length=256)]
MessageState = Annotated[str, Meta(pattern="^(?:pending|in_flight|done|dead|expired|cancelled|forwarded)$")]
AgentState = Annotated[str, Meta(pattern="^(?:deploying|running|draining|stopped|failed|quarantined)$")]


class RecordingQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`module`: whether it is needed."""

    module: bool = True


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A page of a list."""

    limit: Limit = 50
    cursor: Cursor | None = None


class AgentsQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /agents."""

    status: AgentState | None = None
    capability: Filter | None = None


class MailboxQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /agents/{name}/messages."""

    conversation_id: Filter | None = None
    state: MessageState | None = None


class MessagesQuery(MailboxQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /messages."""

    agent: Filter | None = None


class DeadQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /dead-letters."""

    agent: Filter | None = None


class LogsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of GET /agents/{name}/logs."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    follow: bool = False


class RemoveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of DELETE /agents/{name}."""

    purge: bool = False


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of GET /events: comma-separated globs, and where to resume."""

    types: Annotated[str, Meta(min_length=1, max_length=1024)] = "*"
    last_event_id: Annotated[int, Meta(ge=0, lt=10**18)] | None = None


class ConversationsQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /conversations; `agent` is either party."""

    protocol: Filter | None = None
    state: Filter | None = None
    agent: Filter | None = None
    open: bool = False


class TasksQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /tasks."""

    state: Annotated[str, Meta(pattern="^(?:calling|choosing|awarded|done|failed|cancelled)$")] | None = None
    capability: Filter | None = None


class AuditQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of GET /audit: RFC 3339 times, globs, an outcome or `failed`."""

    since: Filter | None = None
    until: Filter | None = None
    actor: Filter | None = None
    action: Filter | None = None
    target: Filter | None = None
    outcome: Filter | None = None


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """No parameters."""


class NodeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of GET /node/facts: whose node."""

    agent: Filter | None = None


class LedgerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of GET /ledger."""

    cluster: bool = False


class PlanQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of GET /cluster/plan: names of nodes, with commas between them."""

    without: Filter | None = None
    added: Filter | None = None
