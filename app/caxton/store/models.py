"""The tables, as peewee models: what the newest migration must lead to.

Owns the shape of the database. Must never be imported by a migration: those carry frozen copies. Hot
statements are written by hand in `statements` and its users; a test keeps these models equal to the head of
the migrations.
"""

from __future__ import annotations

import peewee as pw

from caxton.store.handover_rows import Handover, HandoverPageTable
from caxton.store.model_base import Table as _Table
from caxton.store.model_base import index as _index
from caxton.store.registry_rows import Registry, RegistryWriter
from caxton.store.secret_rows import Secret
from caxton.store.talk_models import TALK_MODELS


class SchemaInfo(_Table):
    """One row: the version of this schema, and the oldest version that can still work with it."""

    id = pw.IntegerField(primary_key=True)
    version = pw.IntegerField()
    compat = pw.IntegerField()


class Message(_Table):
    """Every message that is remembered. `seq`: order of acceptance; `outcome`: msgpack of `Outcome`."""

    seq = pw.AutoField()
    message_id = pw.TextField(unique=True)
    receiver = pw.TextField()
    state = pw.TextField()
    performative = pw.TextField()
    sender = pw.TextField()
    conversation_id = pw.TextField()
    priority = pw.IntegerField()
    reply_with = pw.TextField(null=True)
    in_reply_to = pw.TextField(null=True)
    reply_by = pw.DoubleField(null=True)
    protocol = pw.TextField(null=True)
    ontology = pw.TextField(null=True)
    language = pw.TextField(null=True)
    traceparent = pw.TextField(null=True)
    digest = pw.BlobField()
    delivery = pw.TextField()
    accepted_at = pw.DoubleField()
    finished_at = pw.DoubleField(null=True)
    attempts = pw.IntegerField()
    next_at = pw.DoubleField(null=True)
    content = pw.BlobField(null=True)
    outcome = pw.BlobField(null=True)
    handed = pw.IntegerField(null=True)


# One index more costs 3 to 8 us a message (measured): every one here answers a question that is asked often.
# Partial ones begin with seq: they are small and grow at their end, whichever agent a message is for.
_index(Message, "message_pending", [Message.seq, Message.receiver], "state = 'pending'")
_index(Message, "message_handed", [Message.seq, Message.receiver], "state = 'pending' AND handed = 1")
_index(Message, "message_dead", [Message.seq, Message.receiver], "state = 'dead'")


class MessageOfReceiver(_Table):
    """Messages by receiver, up to the mark of `Listing`."""

    name = pw.TextField()
    seq = pw.IntegerField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("name", "seq")
        without_rowid = True


class MessageOfConversation(_Table):
    """Messages by conversation, up to the mark; without those that have their conversation's own id."""

    name = pw.TextField()
    seq = pw.IntegerField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("name", "seq")
        without_rowid = True


class Listing(_Table):
    """One row: the last `seq` in the two lists."""

    id = pw.IntegerField(primary_key=True)
    up_to = pw.IntegerField()


class Attempt(_Table):
    """Failed deliveries of a message that is still stored."""

    message = pw.ForeignKeyField(Message, column_name="message_seq", on_delete="CASCADE", index=False)
    number = pw.IntegerField()
    at = pw.DoubleField()
    code = pw.TextField()
    detail = pw.TextField(null=True)
    backtrace = pw.TextField(null=True)
    duration_seconds = pw.DoubleField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("message", "number")
        without_rowid = True


class Ledger(_Table):
    """Counters of one agent. `gone_*`: the part of a counter that has no row (pruned, purged, never had one)."""

    agent = pw.TextField(primary_key=True)
    accepted = pw.IntegerField()
    done = pw.IntegerField()
    dead = pw.IntegerField()
    expired = pw.IntegerField()
    cancelled = pw.IntegerField()
    forwarded = pw.IntegerField()
    gone_done = pw.IntegerField()
    gone_dead = pw.IntegerField()
    gone_expired = pw.IntegerField()
    gone_cancelled = pw.IntegerField()
    gone_forwarded = pw.IntegerField()

    class Meta:  # noqa: D106  # where peewee wants options
        without_rowid = True


class Agent(_Table):
    """Deployed agents. `document` = JSON of `AgentRow`; the two numbers beside it only ever grow."""

    name = pw.TextField(primary_key=True)
    document = pw.BlobField()
    incarnation = pw.IntegerField()
    next_timer_id = pw.IntegerField()


class KeyValue(_Table):
    """What agents stored."""

    agent = pw.TextField()
    key = pw.TextField()
    value = pw.BlobField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "key")


class Timer(_Table):
    """Timers that are set."""

    agent = pw.TextField()
    timer_id = pw.IntegerField()
    due = pw.DoubleField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "timer_id")
        without_rowid = True


class Job(_Table):
    """Long operations. `document` = JSON of `JobRow`."""

    job_id = pw.TextField(primary_key=True)
    state = pw.TextField()
    created_at = pw.DoubleField()
    finished_at = pw.DoubleField(null=True)
    document = pw.BlobField()


class LogLine(_Table):
    """The newest lines of every agent's log."""

    seq = pw.AutoField()
    agent = pw.TextField()
    at = pw.DoubleField()
    stream = pw.TextField()
    text = pw.TextField()
    message_id = pw.TextField(null=True)


_index(LogLine, "log_line_agent", [LogLine.agent, LogLine.seq])


class Execution(_Table):
    """The newest executions of every agent."""

    seq = pw.AutoField()
    id = pw.TextField()
    agent = pw.TextField()
    message_id = pw.TextField()
    at = pw.DoubleField()
    status = pw.TextField()
    duration_seconds = pw.DoubleField()
    cpu_seconds = pw.DoubleField()
    peak_memory_bytes = pw.IntegerField()
    code = pw.TextField(null=True)
    fuel = pw.IntegerField(null=True)


_index(Execution, "execution_agent", [Execution.agent, Execution.seq])


class ApiKey(_Table):
    """API keys without their secrets."""

    key_id = pw.TextField(primary_key=True)
    subject = pw.TextField()
    salt = pw.BlobField()
    digest = pw.BlobField()
    created_at = pw.DoubleField()
    expires_at = pw.DoubleField(null=True)
    revoked_at = pw.DoubleField(null=True)
    role = pw.TextField(null=True)
    namespace = pw.TextField(null=True)
    agents = pw.TextField(null=True)


class RevokedToken(_Table):
    """Tokens that are refused though their signature holds."""

    jti = pw.TextField(primary_key=True)
    revoked_at = pw.DoubleField()
    expires_at = pw.DoubleField(null=True)


class AgentVersion(_Table):
    """The kept versions of agents, the one that is deployed included. `document` = JSON of `VersionRow`."""

    agent = pw.TextField()
    version = pw.IntegerField()
    document = pw.BlobField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "version")


class Rollout(_Table):
    """The latest rollout of each agent that had one. `document` = JSON of `RolloutRow`."""

    agent = pw.TextField(primary_key=True)
    document = pw.BlobField()


# ---- snapshots (migration 3) --------------------------------------------------------------------------


class AgentSnapshot(_Table):
    """The memory of an agent as of its last commit: its size and globals. `generation` grows with every commit.

    `known`: no instance up to this incarnation did anything that the snapshot lacks, see `note_incarnations`.
    """

    agent = pw.TextField(primary_key=True)
    agent_id = pw.TextField()
    module_sha256 = pw.TextField()
    incarnation = pw.IntegerField()
    generation = pw.IntegerField()
    taken_at = pw.DoubleField()
    memory_bytes = pw.IntegerField()
    globals = pw.BlobField()
    wakes = pw.IntegerField()
    known = pw.IntegerField()


class AgentSnapshotBlock(_Table):
    """Blocks that changed since the agent last left memory, as they are."""

    agent = pw.TextField()
    block = pw.IntegerField()
    data = pw.BlobField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "block")


class AgentSnapshotPart(_Table):
    """What is behind the blocks: parts of the memory, compressed; a part that is missing is zero."""

    agent = pw.TextField()
    part = pw.IntegerField()
    data = pw.BlobField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "part")


class HeldConversation(_Table):
    """Conversations that wait until somebody decides about a dead letter."""

    agent = pw.TextField()
    conversation_id = pw.TextField()
    message_id = pw.TextField()
    at = pw.DoubleField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "conversation_id")
        without_rowid = True


class ScheduleMark(_Table):
    """Up to when each schedule of an agent has been accounted for."""

    agent = pw.TextField()
    name = pw.TextField()
    due = pw.DoubleField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "name")
        without_rowid = True


class HttpCall(_Table):
    """The newest outbound HTTP calls of every agent."""

    seq = pw.AutoField()
    agent = pw.TextField()
    execution_id = pw.TextField()
    message_id = pw.TextField()
    at = pw.DoubleField()
    method = pw.TextField()
    url = pw.TextField()
    duration_seconds = pw.DoubleField()
    request_bytes = pw.IntegerField()
    response_bytes = pw.IntegerField()
    redirects = pw.IntegerField()
    idempotency_key = pw.TextField()
    status = pw.IntegerField(null=True)
    address = pw.TextField(null=True)
    digest = pw.TextField(null=True)
    error = pw.TextField(null=True)


_index(HttpCall, "http_call_agent", [HttpCall.agent, HttpCall.seq])


class AgentTransition(_Table):
    """The newest changes of every agent's status or version; `status` `removed`: the agent is gone."""

    seq = pw.AutoField()
    agent = pw.TextField()
    agent_id = pw.TextField()
    at = pw.DoubleField()
    version = pw.IntegerField()
    status = pw.TextField()
    reason = pw.TextField(null=True)


_index(AgentTransition, "agent_transition_agent", [AgentTransition.agent, AgentTransition.seq])


class Namespace(_Table):
    """Namespaces with quotas. `document` = JSON of `Quota`."""

    name = pw.TextField(primary_key=True)
    document = pw.BlobField()


MODELS = [
    SchemaInfo, Message, MessageOfReceiver, MessageOfConversation, Listing, Attempt, Ledger, Agent, KeyValue, Timer,
    Job, LogLine, Execution, ApiKey, RevokedToken,
    AgentVersion, Rollout,
    AgentSnapshot, AgentSnapshotBlock, AgentSnapshotPart,
    HeldConversation, ScheduleMark, HttpCall, AgentTransition,
    Namespace,
    *TALK_MODELS,
    Secret,
    Handover, HandoverPageTable,
    Registry, RegistryWriter,
]  # fmt: skip
