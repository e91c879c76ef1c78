"""Supervision's part of a transaction: held conversations, marks of schedules, HTTP calls, edited dead letters.

Owns the writes to those tables. Must never commit, or touch the ledger.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from caxton.store.rows import HttpCallRow, ScheduleMark
from caxton.store.statements import insert

HTTP_CALLS_KEPT: Final = 1_000
"""For each agent."""
HTTP_CALL_COLUMNS: Final = HttpCallRow.__struct_fields__
FIELDS: Final = frozenset({"holds", "released", "schedule_marks", "http_calls", "edits"})
OF_AN_AGENT: Final = ("held_conversation", "schedule_mark", "http_call")

_HOLD: Final = insert(
    "held_conversation",
    ("agent", "conversation_id", "message_id", "at"),
    "ON CONFLICT (agent, conversation_id) DO UPDATE SET message_id = excluded.message_id, at = excluded.at",
)
_MARK: Final = insert(
    "schedule_mark",
    ("agent", "name", "due"),
    "ON CONFLICT (agent, name) DO UPDATE SET due = max(due, excluded.due)",
)
_HTTP_CALL: Final = insert("http_call", HTTP_CALL_COLUMNS)


def apply(connection: sqlite3.Connection, used: dict[str, Any]) -> None:
    """Everything of one `Changes` that is supervision's, but the edits."""
    _HOLD.execute(connection, [msgspec.structs.astuple(row) for row in used.get("holds", ())])
    for agent, conversation_id in used.get("released", ()):
        connection.execute(
            "DELETE FROM held_conversation WHERE agent = ? AND conversation_id = ?", (agent, conversation_id)
        )
    marks: list[ScheduleMark] = used.get("schedule_marks", [])
    _MARK.execute(connection, [msgspec.structs.astuple(row) for row in marks])
    calls: list[HttpCallRow] = used.get("http_calls", [])
    if calls:
        _HTTP_CALL.execute(connection, [msgspec.structs.astuple(row) for row in calls])
        for agent in {row.agent for row in calls}:
            _trim(connection, agent)


def edit(connection: sqlite3.Connection, edits: list[tuple[str, bytes]]) -> None:
    """Gives dead letters other content, before they are revived. Their digest stays: it says what was sent."""
    for message_id, content in edits:
        connection.execute(
            "UPDATE message SET content = ? WHERE message_id = ? AND state = 'dead'", (content, message_id)
        )


def remove(connection: sqlite3.Connection, agent: str) -> None:
    """An agent's rows go with it."""
    for table in OF_AN_AGENT:
        connection.execute(f"DELETE FROM {table} WHERE agent = ?", (agent,))


def _trim(connection: sqlite3.Connection, agent: str) -> None:
    row = connection.execute(
        "SELECT seq FROM http_call WHERE agent = ? ORDER BY seq DESC LIMIT 1 OFFSET ?", (agent, HTTP_CALLS_KEPT)
    ).fetchone()
    if row is not None:
        connection.execute("DELETE FROM http_call WHERE agent = ? AND seq <= ?", (agent, row[0]))
