"""What the API and the local CLI ask of the router, over /run/caxton/router.sock.

Owns the table of operations: name, argument struct, result type. Must never carry HTTP. Many calls are in flight on
one connection; answers come in any order. A stream (`events`, `agent.logs` with `follow`) is many `Item` frames, then
a `Reply`; `Hangup` ends it. `peer.*`: what nodes ask of each other, after `peer.open` alone, before it none of them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.protocol.access import Caller, Scope
from caxton.protocol.agents import AgentConfig
from caxton.protocol.audit import AuditListing, AuditNotes, AuditPage
from caxton.protocol.cluster import ClusterLedger, ClusterView, NodeDrain, Ran
from caxton.protocol.cluster_moves import Adopt, Adopted, Plan, PlanView
from caxton.protocol.debugging import NodeFacts
from caxton.protocol.errors import ErrorBody
from caxton.protocol.handover import HandoverAnswer, HandoverCall, HandoverFinish, HandoverKnown, HandoverPage
from caxton.protocol.messages import Delivery, Message, Outcome
from caxton.protocol.namespaces import NamespaceSet, NamespaceView
from caxton.protocol.peers import (
    Awaited,
    Beat,
    Deliver,
    Delta,
    Forward,
    Module,
    ModulePart,
    PeerOpen,
    Pull,
    Record,
    Relay,
)
from caxton.protocol.recordings import RecordingOf, RecordingView
from caxton.protocol.secrets import Rekeyed, SecretSet, SecretView
from caxton.protocol.talks import (
    CapabilitySet,
    CapabilityView,
    ConversationListing,
    ConversationView,
    Subscribe,
    TaskCreate,
    TaskListing,
    TaskView,
    TopicView,
)
from caxton.protocol.versions import Rollback, RolloutView, Steer, Update
from caxton.protocol.views import (
    AgentView,
    DrainView,
    InvokeView,
    ItemView,
    JobView,
    KeyRecord,
    KeyView,
    Ledger,
    LogView,
    MessageView,
    NodeEvent,
    NodeView,
    Page,
    ProbeView,
    Readiness,
    RotationView,
    TokenRecord,
    TokenView,
)


class Call(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Client → router. `args` is the msgpack of the operation's argument struct.

    `caller`: on whose behalf the API asks; None = the process at the other end of the socket asks for itself.
    """

    call_id: int
    op: str
    args: bytes
    caller: Caller | None = None


class Hangup(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Client → router: the caller of `call_id` went away."""

    call_id: int


class Reply(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Router → client: the JSON text of the operation's result type; the API passes it on untouched."""

    call_id: int
    result: bytes


class Fail(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Router → client: the operation was refused or failed."""

    call_id: int
    error: ErrorBody


class Item(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Router → client: one element of a stream, as JSON text."""

    call_id: int
    item: bytes


class Farewell(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Router → another node: no further call is taken on this link, `last` was the last one.

    What was taken is answered before the link ends; what was sent behind it never began, and is to be sent again.
    """

    last: int


ToRouter = Call | Hangup
FromRouter = Reply | Fail | Item
FromPeer = Reply | Fail | Item | Farewell


class Nothing(msgspec.Struct, frozen=True):
    """No arguments, or no result."""


class Named(msgspec.Struct, frozen=True):
    """One thing by its name or id."""

    name: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of something, with filters that the operation knows."""

    limit: int = 50
    cursor: str | None = None
    name: str | None = None
    status: str | None = None
    capability: str | None = None
    conversation_id: str | None = None
    state: str | None = None


class Submit(msgspec.Struct, frozen=True, gc=False):
    """Accept messages; each item is answered on its own, in order. Durable when the answer arrives.

    `fresh`: the API made up all ids, so nobody can send one of these again.
    """

    messages: list[Message]
    fresh: bool = False


class Invoke(msgspec.Struct, frozen=True, gc=False):
    """Accept one message and wait for its outcome. With `as_job` the answer is a `JobView` at once.

    `idempotent`: the id was given by the client, so an earlier outcome of it is the answer.
    """

    message: Message
    timeout_seconds: float
    delivery: Delivery = Delivery.EPHEMERAL
    as_job: bool = False
    idempotent: bool = False


class Deploy(msgspec.Struct, frozen=True):
    """Answered within `wait_seconds` by an `AgentView`, else by a `JobView`. `signature`: see docs/provenance.md."""

    config: AgentConfig
    module: bytes
    wait_seconds: float = 1.0
    signature: str | None = None


class Stop(msgspec.Struct, frozen=True):
    """Drain for at most `grace_period_seconds`, then stop."""

    name: str
    grace_period_seconds: float = 30.0


class Remove(msgspec.Struct, frozen=True):
    """Remove an agent; its mailbox goes to the dead letters, or away with `purge`."""

    name: str
    purge: bool = False
    etag: str | None = None


class DeadReplay(msgspec.Struct, frozen=True):
    """Put dead letters back into their mailboxes (or into another agent's): by id, or all of an agent.

    `version`: the one of their agent that handles them.
    """

    message_ids: list[str] = []
    agent: str | None = None
    to: str | None = None
    version: int | None = None


class DeadReplayOne(msgspec.Struct, frozen=True):
    """Put one dead letter back, with other content (JSON text) or into another agent's mailbox if that is given."""

    message_id: str
    content: bytes | None = None
    to: str | None = None


class DeadPurge(msgspec.Struct, frozen=True):
    """Forget dead letters for good: by id, or all of an agent, or all."""

    message_ids: list[str] = []
    agent: str | None = None
    everything: bool = False


class Affected(msgspec.Struct, frozen=True):
    """How many things an operation changed."""

    count: int


class Logs(msgspec.Struct, frozen=True):
    """An agent's log: the last `limit` lines, then (with `follow`) what comes."""

    name: str
    limit: int = 100
    follow: bool = False


class Events(msgspec.Struct, frozen=True):
    """Those of the globs `patterns`, after `last_id` if still held. `beginning`: first the id after which it is."""

    patterns: list[str] = msgspec.field(default_factory=lambda: ["*"])
    last_id: int | None = None
    beginning: bool = False


class KeyCreate(msgspec.Struct, frozen=True):
    """Make an API key for `subject`; `ttl_seconds` None = no expiry."""

    subject: str
    scope: Scope
    ttl_seconds: float | None = None


class KeyRotate(msgspec.Struct, frozen=True):
    """Make a successor that may do the same; the key itself ends after `overlap_seconds`."""

    key_id: str
    overlap_seconds: float
    ttl_seconds: float | None = None


class TokenRevoke(msgspec.Struct, frozen=True):
    """Refuse the token with this `jti` from now on; `expires_at`, in seconds since the epoch: until when at most."""

    jti: str
    expires_at: float | None = None


class SetLogLevel(msgspec.Struct, frozen=True):
    """Change the router's log level until the next restart."""

    level: str


class Drain(msgspec.Struct, frozen=True):
    """Take no new work; what runs has this long to end."""

    wait_seconds: float = 60.0


class Deployed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The agent that runs, or the job that goes on."""

    agent: AgentView | None = None
    job: JobView | None = None


class Invoked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reply, or the job that goes on."""

    reply: InvokeView | None = None
    job: JobView | None = None


OPERATIONS: Final[dict[str, tuple[type[Any], Any]]] = {
    "submit": (Submit, list[ItemView]),
    "invoke": (Invoke, Invoked),
    "message.get": (Named, MessageView),
    "message.list": (Listing, Page),
    "message.cancel": (Named, MessageView),
    "agent.deploy": (Deploy, Deployed),
    "agent.get": (Named, AgentView),
    "agent.list": (Listing, Page),
    "agent.stop": (Stop, AgentView),
    "agent.start": (Named, AgentView),
    "agent.remove": (Remove, Affected),
    "agent.update": (Update, Deployed),
    "agent.rollback": (Rollback, AgentView),
    "agent.rollout": (Named, RolloutView),
    "agent.steer": (Steer, AgentView),
    "agent.versions": (Named, Page),
    "agent.state": (Listing, Page),
    "agent.executions": (Listing, Page),
    "agent.recordings": (Listing, Page),
    "agent.history": (Listing, Page),
    "recording.get": (RecordingOf, RecordingView),
    "agent.logs": (Logs, LogView),
    "job.get": (Named, JobView),
    "dead.list": (Listing, Page),
    "dead.get": (Named, MessageView),
    "dead.replay": (DeadReplay, Affected),
    "dead.purge": (DeadPurge, Affected),
    "agent.schedules": (Named, Page),
    "agent.http_calls": (Listing, Page),
    "dead.replay_one": (DeadReplayOne, Affected),
    "dead.skip": (Named, Affected),
    "ledger": (Nothing, Ledger),
    "ready": (Nothing, Readiness),
    "node.facts": (Named, NodeFacts),
    "stats": (Nothing, dict[str, Any]),
    "node.show": (Nothing, NodeView),
    "events": (Events, NodeEvent),
    "key.create": (KeyCreate, KeyView),
    "key.list": (Listing, Page),
    "key.revoke": (Named, KeyView),
    "key.rotate": (KeyRotate, RotationView),
    "key.bootstrap": (Nothing, KeyView | None),
    "key.lookup": (Named, KeyRecord),
    "token.revoke": (TokenRevoke, TokenView),
    "token.list": (Listing, Page),
    "token.lookup": (Named, TokenRecord),
    "node.pause": (Nothing, Nothing),
    "node.resume": (Nothing, Nothing),
    "node.drain": (Drain, DrainView),
    "node.undrain": (Nothing, Nothing),
    "node.probe": (Nothing, ProbeView),
    "node.log_level": (SetLogLevel, Nothing),
    "node.gc": (Nothing, Affected),
    "conversation.list": (ConversationListing, Page),
    "conversation.get": (Listing, ConversationView),
    "capability.list": (Listing, Page),
    "capability.get": (Named, CapabilityView),
    "capability.set": (CapabilitySet, CapabilityView),
    "capability.remove": (Named, Affected),
    "topic.list": (Listing, Page),
    "topic.get": (Named, TopicView),
    "topic.subscribe": (Subscribe, TopicView),
    "task.create": (TaskCreate, TaskView),
    "task.get": (Named, TaskView),
    "task.list": (TaskListing, Page),
    "task.cancel": (Named, TaskView),
    "namespace.list": (Listing, Page),
    "namespace.get": (Named, NamespaceView),
    "namespace.set": (NamespaceSet, NamespaceView),
    "namespace.remove": (Named, Affected),
    "secret.set": (SecretSet, SecretView),
    "secret.list": (Listing, Page),
    "secret.remove": (Named, Affected),
    "secret.rekey": (Nothing, Rekeyed),
    "audit.list": (AuditListing, AuditPage),
    "audit.note": (AuditNotes, Affected),
    "peer.forward": (Forward, Any),
    "peer.deliver": (Deliver, list[ItemView]),
    "peer.outcome": (Awaited, Outcome),
    "peer.open": (PeerOpen, Nothing),
    "peer.beat": (Beat, Beat),
    "peer.relay": (Relay, Any),
    "peer.pull": (Pull, Delta),
    "peer.module": (Module, ModulePart),
    "peer.handover_begin": (HandoverCall, HandoverAnswer),
    "peer.handover_page": (HandoverPage, HandoverAnswer),
    "peer.handover_known": (HandoverKnown, HandoverAnswer),
    "peer.handover_finish": (HandoverFinish, HandoverAnswer),
    "peer.handover_commit": (HandoverCall, HandoverAnswer),
    "peer.handover_abort": (HandoverCall, HandoverAnswer),
    "peer.handover_emptied": (HandoverCall, HandoverAnswer),
    "peer.handover_adopted": (Record, HandoverAnswer),
    "cluster.plan": (Plan, PlanView),
    "cluster.adopt": (Adopt, Adopted),
    "cluster.status": (Nothing, ClusterView),
    "cluster.nodes": (Nothing, Page),
    "cluster.report": (Nothing, Page),
    "cluster.ledger": (Nothing, ClusterLedger),
    "cluster.drain": (NodeDrain, DrainView),
    "cluster.undrain": (Named, Nothing),
    "cluster.forget": (Named, Nothing),
    "peer.ran": (Named, Ran),
}

LINK_OPERATIONS: Final = frozenset(name for name in OPERATIONS if name.startswith("peer.") and name != "peer.open")
"""What nodes ask of each other, over their links; nobody asks it on another connection, and nothing else there."""
