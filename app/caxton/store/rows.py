"""The rows of the store as the router hands them over and gets them back.

Owns plain typed values only. Must never hold a connection or know SQL. All times are seconds since the
epoch, all sizes bytes.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from caxton.protocol.agents import (
    AgentConfig,
    AgentStatus,
    EffectiveLimits,
    Instance,
    ModuleInfo,
    Quarantine,
    Retry,
    Schedule,
    Shape,
)
from caxton.protocol.errors import ErrorBody
from caxton.protocol.messages import Delivery, Message, Outcome, State

Row = TypeVar("Row")

# ---- what goes in (msgspec structs: built once per message, so they must be cheap) ------------------


class Accept(msgspec.Struct, frozen=True, gc=False):
    """A message that enters the ledger.

    `digest`: 16 bytes of what makes two submissions of one id "the same". A terminal `state` (with its
    `outcome`) stores a message that has already run; `finished_at` defaults to `accepted_at` then. `home`: it is
    to be handled here and nowhere else, so one that was forwarded from here and comes back is accepted again, in its
    old place. `handed`: it came with its agent, out of the old home's mailbox, and is handled before whatever this
    node has accepted itself.
    """

    message: Message
    accepted_at: float
    digest: bytes
    delivery: str = Delivery.DURABLE
    state: str = State.PENDING
    outcome: Outcome | None = None
    attempts: int = 0
    finished_at: float | None = None
    home: bool = False
    handed: bool = False


class Settle(msgspec.Struct, frozen=True, gc=False):
    """A pending message ends as done, dead, expired, cancelled or forwarded."""

    message_id: str
    agent: str
    state: str
    at: float
    outcome: Outcome
    attempts: int = 0


class FailedAttempt(msgspec.Struct, frozen=True, gc=False):
    """One failed delivery; `next_at` = when the next one is due, None when there is none."""

    message_id: str
    number: int
    at: float
    code: str
    detail: str | None = None
    backtrace: str | None = None
    duration_seconds: float = 0.0
    next_at: float | None = None


# ---- what goes in and comes out ---------------------------------------------------------------------


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed agent. `incarnation` and `next_timer_id` never go back: the larger value stays."""

    name: str
    agent_id: str
    version: int
    config: AgentConfig
    module: ModuleInfo
    limits: EffectiveLimits
    shape: Shape
    instance: Instance
    max_concurrency: int
    deployed_at: float
    status: AgentStatus
    status_reason: str | None = None
    incarnation: int = 0
    next_timer_id: int = 1
    capabilities: list[str] = []
    descriptor: Any = None
    isolated: bool = False
    quarantine: Quarantine | None = None
    retry: Retry | None = None
    schedules: list[Schedule] | msgspec.UnsetType = msgspec.UNSET
    on_owner_loss: str | msgspec.UnsetType = msgspec.UNSET
    partition_mode: str | msgspec.UnsetType = msgspec.UNSET
    """These four complete `config`, which older releases read."""
    signature: str | None = None
    signed_by: str | None = None


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A long operation. `result` is JSON-ready; `state`: queued, running, done, failed; `progress` 0 to 1.

    `about`: the agent that it is for; `sender`: of the message that is invoked. Rows of older releases have neither.
    """

    job_id: str
    kind: str
    state: str
    created_at: float
    progress: float = 0.0
    detail: str | None = None
    finished_at: float | None = None
    result: Any = None
    error: ErrorBody | None = None
    about: str | None = None
    sender: str | None = None


class LogRow(msgspec.Struct, frozen=True, gc=False):
    """One line of an agent's log. The store assigns `seq`: it grows, and is never used twice."""

    agent: str
    at: float
    stream: str
    text: str
    message_id: str | None = None
    seq: int = 0


class ExecutionRow(msgspec.Struct, frozen=True, gc=False):
    """One execution of an agent."""

    id: str
    agent: str
    message_id: str
    at: float
    status: str
    duration_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    code: str | None = None
    fuel: int | None = None


class ApiKeyRow(msgspec.Struct, frozen=True):
    """An API key without its secret: `digest` is the salted SHA-256.

    `role` None: made by a release that knew no roles. `agents`: JSON of the patterns.
    """

    key_id: str
    subject: str
    salt: bytes
    digest: bytes
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    role: str | None = None
    namespace: str | None = None
    agents: str | None = None


class RevokedTokenRow(msgspec.Struct, frozen=True):
    """A token that is refused though its signature holds, until `expires_at` (None: for good)."""

    jti: str
    revoked_at: float
    expires_at: float | None = None


class Held(msgspec.Struct, frozen=True, gc=False):
    """A conversation with an agent that waits until somebody decides about the dead letter `message_id`."""

    agent: str
    conversation_id: str
    message_id: str
    at: float


class ScheduleMark(msgspec.Struct, frozen=True, gc=False):
    """Everything that a schedule was to send up to `due` is accounted for. It never goes back."""

    agent: str
    name: str
    due: float


class HttpCallRow(msgspec.Struct, frozen=True, gc=False):
    """One outbound HTTP call. `digest` = SHA-256 of the body that the guest got; `error` when there was no answer."""

    agent: str
    execution_id: str
    message_id: str
    at: float
    method: str
    url: str
    duration_seconds: float
    request_bytes: int
    response_bytes: int
    redirects: int
    idempotency_key: str
    status: int | None = None
    address: str | None = None
    digest: str | None = None
    error: str | None = None


# ---- what only comes out ----------------------------------------------------------------------------


class MessageRow(msgspec.Struct, frozen=True, gc=False):
    """A stored message. `seq` gives the order of acceptance.

    `content_dropped`: retention took the content (`message.content` is empty then); the id and the
    outcome stay for as long as the id is remembered. `handed`: as in `Accept`.
    """

    seq: int
    message: Message
    state: State
    accepted_at: float
    digest: bytes
    delivery: str
    attempts: int
    next_at: float | None
    finished_at: float | None
    outcome: Outcome | None
    content_dropped: bool = False
    handed: bool = False


class Known(msgspec.Struct, frozen=True, gc=False):
    """What an id that was seen before stands for."""

    agent: str
    state: State
    digest: bytes
    outcome: Outcome | None


class KeyRow(msgspec.Struct, frozen=True, gc=False):
    """One key of an agent's state."""

    key: str
    value: bytes


class TimerRow(msgspec.Struct, frozen=True, gc=False):
    """A timer that is set."""

    agent: str
    timer_id: int
    due: float


class Slice(msgspec.Struct, Generic[Row], frozen=True):
    """One page of rows; hand `next_cursor` in again for what follows, None = the end."""

    rows: list[Row]
    next_cursor: str | None = None


class Sizes(msgspec.Struct, frozen=True):
    """Bytes on disk: files as they are, `used` = database pages in use, `disk_free` for this user."""

    database: int
    wal: int
    used: int
    disk_free: int


class Mismatch(msgspec.Struct, frozen=True):
    """A counter of the ledger that differs from the rows."""

    agent: str
    what: str
    counter: int
    rows: int


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What may be forgotten. Rows younger than `dedup_window` lose at most their content."""

    retention: float = 7 * 86_400.0
    retention_bytes: int = 20_000_000_000
    dedup_window: float = 86_400.0
    job_seconds: float = 86_400.0
    log_lines: int = 10_000
    log_bytes: int = 4_000_000
    executions: int = 1_000
    slice_rows: int = 500


class Swept(msgspec.Struct, frozen=True):
    """What one slice of retention did; `more` = call again soon."""

    messages: int = 0
    contents: int = 0
    jobs: int = 0
    logs: int = 0
    executions: int = 0
    more: bool = False
    error: Exception | None = None
