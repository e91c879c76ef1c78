"""The tables of conversations, capabilities, topics and tasks, as peewee models.

Owns their shape, as `models` does for the others. Must never be imported by a migration.
"""

from __future__ import annotations

import peewee as pw

from caxton.store.model_base import Table, index


class Conversation(Table):
    """Where two parties are in a protocol that the node checks. `message_id`: of the last step."""

    seq = pw.AutoField()
    conversation_id = pw.TextField()
    protocol = pw.TextField()
    initiator = pw.TextField()
    participant = pw.TextField()
    state = pw.TextField()
    message_id = pw.TextField()
    reply_with = pw.TextField(null=True)
    deadline = pw.DoubleField(null=True)
    started_at = pw.DoubleField()
    updated_at = pw.DoubleField()
    ended_at = pw.DoubleField(null=True)
    steps = pw.IntegerField()


index(
    Conversation,
    "conversation_parties",
    [Conversation.conversation_id, Conversation.protocol, Conversation.initiator, Conversation.participant],
    unique=True,
)
index(Conversation, "conversation_deadline", [Conversation.deadline], "deadline IS NOT NULL")
index(Conversation, "conversation_ended", [Conversation.ended_at], "ended_at IS NOT NULL")


class Capability(Table):
    """What the operator registered of a capability. `document` = JSON of `CapabilityRow`."""

    name = pw.TextField(primary_key=True)
    document = pw.BlobField()


class CapabilityChoice(Table):
    """The agent that a conversation got for a capability: the next message of it goes there too."""

    conversation_id = pw.TextField()
    name = pw.TextField()
    agent = pw.TextField()
    at = pw.DoubleField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("conversation_id", "name")
        without_rowid = True


index(CapabilityChoice, "capability_choice_at", [CapabilityChoice.at])


class Subscription(Table):
    """Who gets what is published on a topic."""

    topic = pw.TextField()
    agent = pw.TextField()
    at = pw.DoubleField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("topic", "agent")
        without_rowid = True


index(Subscription, "subscription_agent", [Subscription.agent])


class Task(Table):
    """Work that the node gives to the best bidder. `document` = msgpack of `TaskRow`."""

    seq = pw.AutoField()
    task_id = pw.TextField(unique=True)
    state = pw.TextField()
    capability = pw.TextField()
    finished_at = pw.DoubleField(null=True)
    document = pw.BlobField()


index(Task, "task_open", [Task.seq], "finished_at IS NULL")
index(Task, "task_finished", [Task.finished_at], "finished_at IS NOT NULL")


class Bid(Table):
    """What became of the call to one bidder. `value`: the number by which bids are compared."""

    task_id = pw.TextField()
    agent = pw.TextField()
    state = pw.TextField()
    at = pw.DoubleField()
    value = pw.DoubleField(null=True)
    content = pw.BlobField(null=True)

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("task_id", "agent")
        without_rowid = True


TALK_MODELS = [Conversation, Capability, CapabilityChoice, Subscription, Task, Bid]
