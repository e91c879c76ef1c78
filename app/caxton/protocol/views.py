"""What clients see: the JSON shapes of spec/api.md, also used between API and router.

Owns the names of fields in answers. Must never compute a value.
"""

from __future__ import annotations

from typing import Any

import msgspec

from caxton.protocol.access import Role, Scope
from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Grants, Instance, Shape
from caxton.protocol.cluster_moves import MoveView
from caxton.protocol.errors import ErrorBody
from caxton.protocol.messages import Execution
from caxton.protocol.versions import RolloutView


class Counts(msgspec.Struct, frozen=True):
    """The ledger of one agent or of the node (DESIGN.md, "Invariants"); `imbalance` must be 0."""

    accepted: int = 0
    done: int = 0
    dead: int = 0
    expired: int = 0
    cancelled: int = 0
    pending: int = 0
    in_flight: int = 0
    forwarded: int = 0

    @property
    def imbalance(self) -> int:
        """Accepted minus everything that can have become of it."""
        settled = self.done + self.dead + self.expired + self.cancelled + self.forwarded
        return self.accepted - settled - self.pending - self.in_flight


class LedgerRow(msgspec.Struct, frozen=True):
    """One line of the ledger; `name` is an agent's, or the node's in the total."""

    name: str
    accepted: int
    done: int
    dead: int
    expired: int
    cancelled: int
    pending: int
    in_flight: int
    forwarded: int
    imbalance: int


class Ledger(msgspec.Struct, frozen=True):
    """Answer of GET /ledger."""

    node: LedgerRow
    agents: list[LedgerRow]


class SnapshotView(msgspec.Struct, frozen=True):
    """The memory of an agent as of its last commit. `stored_bytes`: what it takes on disk (null in a listing)."""

    memory_bytes: int
    taken_at: str
    age_seconds: float
    stored_bytes: int | None = None


class Resources(msgspec.Struct, frozen=True):
    """What an agent uses now. `state_bytes` = keys and values on disk.

    `hibernated`: only its snapshot holds it, until the next message; `wakes`: how often it was made from that.
    `memory_bytes`: of its resident instance as its last execution left it, 0 without one. Since the router started:
    `cpu_seconds`, `executions`, `failures` (those that counted as a failed attempt), `fuel`.
    """

    resident: bool
    incarnation: int
    state_bytes: int
    mailbox_bytes: int
    cpu_seconds: float
    peak_memory_bytes: int
    hibernated: bool = False
    wakes: int = 0
    snapshot: SnapshotView | None = None
    memory_bytes: int = 0
    executions: int = 0
    failures: int = 0
    fuel: int = 0


class QuarantineView(msgspec.Struct, frozen=True):
    """Why is `status_reason`; since when, and when the next message is tried. Times RFC 3339."""

    since: str
    probe_at: str
    pause_seconds: float


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of GET /agents/{name} and of a deployment."""

    name: str
    agent_id: str
    version: int
    status: AgentStatus
    status_reason: str | None = None
    shape: Shape
    instance: Instance
    module_sha256: str
    module_bytes: int
    signed_by: str | None = None
    """Id of the key that signed the module for this agent."""
    node: str
    limits: EffectiveLimits
    grants: Grants
    config: AgentConfig
    capabilities: list[str] = []
    descriptor: Any = None
    counters: dict[str, int]
    resources: Resources
    quarantine: QuarantineView | None = None
    deployed_at: str
    etag: str
    rollout: RolloutView | None = None
    """The one that runs now."""


class AttemptView(msgspec.Struct, frozen=True):
    """One failed delivery. `at` RFC 3339."""

    number: int
    at: str
    code: str
    detail: str | None = None
    backtrace: str | None = None
    duration_seconds: float = 0.0


class ReplyView(msgspec.Struct, frozen=True):
    """What the agent answered."""

    performative: str
    content: msgspec.Raw


class MessageView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of GET /messages/{id}; absent fields are left out."""

    message_id: str
    state: str
    performative: str
    sender: str
    receiver: str
    content: msgspec.Raw
    conversation_id: str
    accepted_at: str
    priority: int = 0
    finished_at: str | None = None
    reply_with: str | None = None
    in_reply_to: str | None = None
    reply_by: str | None = None
    protocol: str | None = None
    ontology: str | None = None
    language: str | None = None
    trace_context: str | None = None
    delivery: str | None = None
    attempts: list[AttemptView] = []
    reply: ReplyView | None = None
    error: ErrorBody | None = None
    execution: Execution | None = None
    executions: list[str] = []
    """Of a message with failed attempts: ids of its executions, oldest first, as far as they are kept."""
    holds_conversation: bool = False
    """A dead letter for which the rest of its conversation waits."""


class InvokeView(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of POST /agents/{name}/invoke. `performative`/`content` are null for a handler that did not reply."""

    message_id: str
    conversation_id: str
    performative: str | None
    content: msgspec.Raw
    execution: Execution | None


class Refused(msgspec.Struct, frozen=True):
    """One receiver that did not get a published message."""

    receiver: str
    code: str
    message: str


class Deliveries(msgspec.Struct, frozen=True):
    """How many copies of a published message were accepted; of those that were not, the first 100."""

    accepted: int
    refused_count: int = 0
    refused: list[Refused] = []


class ItemView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item's answer of POST /messages: a state, or an error. `deliveries`: of a message to a topic."""

    message_id: str | None = None
    state: str | None = None
    error: ErrorBody | None = None
    deliveries: Deliveries | None = None


class JobView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of GET /jobs/{id}. `state`: queued, running, done, failed. `progress` 0 to 1."""

    job_id: str
    kind: str
    state: str
    progress: float
    created_at: str
    detail: str | None = None
    finished_at: str | None = None
    result: Any = None
    error: ErrorBody | None = None


class KeyView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key without its secret; `key` only in the answer that creates it."""

    key_id: str
    subject: str
    role: Role
    namespace: str | None = None
    agents: tuple[str, ...] | None = None
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    key: str | None = None


class KeyRecord(msgspec.Struct, frozen=True):
    """What an API worker needs to verify a key: salted SHA-256, times in seconds since the epoch."""

    key_id: str
    subject: str
    salt: bytes
    digest: bytes
    expires_at: float | None = None
    revoked_at: float | None = None
    scope: Scope = Scope(Role.ADMIN)


class RotationView(msgspec.Struct, frozen=True):
    """A key's successor, with its text, and the key that it succeeds, with its end."""

    made: KeyView
    ends: KeyView


class TokenView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token that was revoked by its `jti`; `expires_at` None: unknown, so this is kept for good."""

    jti: str
    revoked_at: str
    expires_at: str | None = None


class TokenRecord(msgspec.Struct, frozen=True):
    """What an API worker needs to know of a token whose signature holds."""

    revoked: bool


class LogView(msgspec.Struct, frozen=True):
    """One line of an agent's log."""

    seq: int
    at: str
    stream: str
    text: str
    message_id: str | None = None


class ExecutionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution, newest first; kept for the most recent ones only."""

    id: str
    message_id: str
    at: str
    status: str
    duration_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    code: str | None = None
    fuel: int | None = None


class StateView(msgspec.Struct, frozen=True):
    """One key of an agent. `value` is UTF-8 text, or base64 where `encoding` says so."""

    key: str
    value: str
    encoding: str
    size_bytes: int


class Page(msgspec.Struct, frozen=True):
    """One page of a list; the items are already views."""

    items: list[Any]
    next_cursor: str | None = None


class Readiness(msgspec.Struct, frozen=True):
    """Answer of GET /ready: names only, no detail."""

    ready: bool
    reasons: list[str] = []


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of GET /node: what one look at a node takes. Seconds, bytes, counts; counts since the router started.

    `executions` by how they ended; `messages` is the node's line of the ledger; `commit_seconds` is the time that all
    `commits` took; `resident_bytes` is the memory of the worker processes. `members`: nodes by state, this one
    included; empty where the node is alone.
    """

    node: str
    version: str
    uptime_seconds: float
    ready: bool
    reasons: list[str]
    agents: dict[str, int]
    executions: dict[str, int]
    messages: LedgerRow
    dead_letters: int
    queued: int
    queue_limit: int
    in_flight: int
    workers: int
    resident_bytes: int
    memory_limit_bytes: int
    commits: int
    commit_seconds: float
    members: dict[str, int] = {}
    expected_nodes: int = 1
    majority: bool = True


class RunningView(msgspec.Struct, frozen=True):
    """One execution that was still under way. `started_at` RFC 3339."""

    agent: str
    message_id: str
    started_at: str
    duration_seconds: float


class DrainView(msgspec.Struct, frozen=True):
    """How a drain ended. `drained`: not undone meanwhile; `running`: what went back to its mailbox.

    In a cluster: `moved` are agents with durable state that live elsewhere now, `kept` those that could not go, and
    why; `outbox`: messages that still wait here for other nodes.
    """

    drained: bool
    running: list[RunningView] = []
    moved: list[MoveView] | msgspec.UnsetType = msgspec.UNSET
    kept: list[MoveView] | msgspec.UnsetType = msgspec.UNSET
    outbox: int | msgspec.UnsetType = msgspec.UNSET


class ProbeView(msgspec.Struct, frozen=True):
    """What a probe execution took: all of it, of that the module's preparation (mostly cached), and the run."""

    duration_seconds: float
    prepare_seconds: float
    execution_seconds: float


class NodeEvent(msgspec.Struct, frozen=True):
    """One event of GET /events. `id` grows by one; `type` such as `agent.deployed`, `message.dead`."""

    id: int
    type: str
    at: str
    data: dict[str, Any]
