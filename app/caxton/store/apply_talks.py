"""Conversations, capabilities, topics and tasks of a transaction, and how they are forgotten.

Owns the writes to those tables. Must never commit, or touch messages and the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from caxton.store.statements import MultiRow, insert
from caxton.store.talk_rows import BidRow, CapabilityRow, ChoiceRow, ConversationRow, TaskRow

_MINE: Final = frozenset({"conversations", "capabilities", "choices", "subscriptions", "tasks", "bids"})
CONVERSATION_COLUMNS: Final = (
    "conversation_id", "protocol", "initiator", "participant", "state", "message_id", "started_at", "updated_at",
    "reply_with", "deadline", "ended_at", "steps",
)  # fmt: skip
_PARTIES: Final = CONVERSATION_COLUMNS[:4]
_CONVERSATION: Final = insert(
    "conversation",
    CONVERSATION_COLUMNS,
    f"ON CONFLICT ({', '.join(_PARTIES)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in CONVERSATION_COLUMNS if name not in _PARTIES),
)
_CAPABILITY: Final = insert(
    "capability", ("name", "document"), "ON CONFLICT (name) DO UPDATE SET document = excluded.document"
)
_CHOICE: Final = insert(
    "capability_choice",
    ("conversation_id", "name", "agent", "at"),
    "ON CONFLICT (conversation_id, name) DO UPDATE SET agent = excluded.agent, at = excluded.at",
)
_SUBSCRIPTION: Final = insert("subscription", ("topic", "agent", "at"), "ON CONFLICT (topic, agent) DO NOTHING")
_UNSUBSCRIBE: Final = MultiRow("DELETE FROM subscription WHERE (topic, agent) IN (VALUES", 2, ")")
_TASK: Final = insert(
    "task",
    ("task_id", "state", "capability", "finished_at", "document"),
    "ON CONFLICT (task_id) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at, "
    "document = excluded.document",
)
BID_COLUMNS: Final = ("task_id", "agent", "state", "at", "value", "content")
_BID: Final = insert(
    "bid",
    BID_COLUMNS,
    "ON CONFLICT (task_id, agent) DO UPDATE SET state = excluded.state, at = excluded.at, "
    "value = coalesce(excluded.value, value), content = coalesce(excluded.content, content)",
)
_OLD_TASKS: Final = "FROM task WHERE finished_at < ? ORDER BY finished_at, seq LIMIT ?"  # the same ones for both
_FORGET: Final = (
    "DELETE FROM conversation WHERE seq IN (SELECT seq FROM conversation WHERE ended_at < ? LIMIT ?)",
    "DELETE FROM capability_choice WHERE (conversation_id, name) IN "
    "(SELECT conversation_id, name FROM capability_choice WHERE at < ? LIMIT ?)",
    f"DELETE FROM bid WHERE task_id IN (SELECT task_id {_OLD_TASKS})",
    f"DELETE FROM task WHERE seq IN (SELECT seq {_OLD_TASKS})",
)
_encode: Final = msgspec.msgpack.Encoder().encode


def write(connection: sqlite3.Connection, group: Sequence[dict[str, Any]]) -> None:
    """Applies what `group` has for these tables; the last word about a row is the one that is written."""
    used = [changes for changes in group if not _MINE.isdisjoint(changes)]
    if not used:
        return
    conversations: dict[tuple[str, ...], ConversationRow] = {}
    choices: dict[tuple[str, str], ChoiceRow] = {}
    subscriptions: dict[tuple[str, str], float | None] = {}
    tasks: dict[str, TaskRow] = {}
    bids: dict[tuple[str, str], BidRow] = {}
    for changes in used:
        for row in changes.get("conversations", ()):
            conversations[row.conversation_id, row.protocol, row.initiator, row.participant] = row
        choices.update({(row.conversation_id, row.name): row for row in changes.get("choices", ())})
        subscriptions.update({(topic, agent): at for topic, agent, at in changes.get("subscriptions", ())})
        tasks.update({row.task_id: row for row in changes.get("tasks", ())})
        bids.update({(row.task_id, row.agent): row for row in changes.get("bids", ())})
        _write_capabilities(connection, changes.get("capabilities", ()))
    _CONVERSATION.execute(connection, [msgspec.structs.astuple(row)[:-1] for row in conversations.values()])
    _CHOICE.execute(connection, [msgspec.structs.astuple(row) for row in choices.values()])
    _SUBSCRIPTION.execute(connection, [(*place, at) for place, at in subscriptions.items() if at is not None])
    _UNSUBSCRIBE.execute(connection, [place for place, at in subscriptions.items() if at is None])
    _TASK.execute(
        connection,
        [(row.task_id, row.state, row.capability, row.finished_at, _encode(row)) for row in tasks.values()],
    )
    _BID.execute(connection, [msgspec.structs.astuple(row) for row in bids.values()])


def _write_capabilities(connection: sqlite3.Connection, rows: Sequence[CapabilityRow]) -> None:
    for row in rows:
        if row.strategy or row.providers:
            _CAPABILITY.execute(connection, [(row.name, msgspec.json.encode(row))])
        else:
            connection.execute("DELETE FROM capability WHERE name = ?", (row.name,))


def forget(connection: sqlite3.Connection, before: float, limit: int) -> int:
    """Deletes what ended before `before`, at most `limit` of each kind; gives how many the fullest kind had."""
    return max(connection.execute(statement, (before, limit)).rowcount for statement in _FORGET)
