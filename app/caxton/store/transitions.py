"""What became of an agent, step by step: each change of its status or version, with the time and the reason.

Owns these rows: written beside the agent's own, in the same transaction, so that nobody who changes an agent has to
think of them. They stay when the agent is removed. Must never be what anything else is decided by.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from caxton.store import cursors
from caxton.store.rows import AgentRow, Slice
from caxton.store.statements import insert

KEPT: Final = 200
"""The newest of each agent."""
REMOVED: Final = "removed"
"""The last status of an agent that is gone."""


class TransitionRow(msgspec.Struct, frozen=True, gc=False):
    """An agent became this, at `at` (seconds since the epoch). `status`: an `AgentStatus`, or `REMOVED`."""

    agent: str
    agent_id: str
    at: float
    version: int
    status: str
    reason: str | None = None


COLUMNS: Final = TransitionRow.__struct_fields__
_INSERT: Final = insert("agent_transition", COLUMNS)
_LIST: Final = ", ".join(COLUMNS)


def note(connection: sqlite3.Connection, agents: Sequence[AgentRow]) -> None:
    """Adds what is another status, reason or version than an agent's last one."""
    for row in agents:
        last = _last(connection, row.name)
        found = (row.agent_id, row.version, row.status.value, row.status_reason)
        if last is None or (last.agent_id, last.version, last.status, last.reason) != found:
            _add(connection, TransitionRow(row.name, row.agent_id, time.time(), *found[1:]))


def removed(connection: sqlite3.Connection, agent: str) -> None:
    """The agent is gone from this node."""
    last = _last(connection, agent)
    if last is not None and last.status != REMOVED:
        _add(connection, TransitionRow(agent, last.agent_id, time.time(), last.version, REMOVED, None))


def forget(connection: sqlite3.Connection, before: float, limit: int) -> int:
    """Forgets up to `limit` rows of agents that are no more, older than `before` (seconds since the epoch)."""
    return connection.execute(
        "DELETE FROM agent_transition WHERE seq IN (SELECT seq FROM agent_transition WHERE at < ? "
        "AND agent NOT IN (SELECT name FROM agent) ORDER BY seq LIMIT ?)",
        (before, limit),
    ).rowcount


def _last(connection: sqlite3.Connection, agent: str) -> TransitionRow | None:
    row = connection.execute(
        f"SELECT {_LIST} FROM agent_transition WHERE agent = ? ORDER BY seq DESC LIMIT 1", (agent,)
    ).fetchone()
    return None if row is None else TransitionRow(*row)


def _add(connection: sqlite3.Connection, row: TransitionRow) -> None:
    _INSERT.execute(connection, [msgspec.structs.astuple(row)])
    connection.execute(
        "DELETE FROM agent_transition WHERE agent = ?1 AND seq <= "
        "(SELECT seq FROM agent_transition WHERE agent = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        (row.agent, KEPT),
    )


class Transitions:
    """Queries; a reader lends its connection (`ask`)."""

    def __init__(self, ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._ask = ask

    def of(self, agent: str, *, limit: int, cursor: str | None = None) -> Slice[TransitionRow]:
        """A page of what became of an agent, newest first."""
        rows = self._ask(
            f"SELECT seq, {_LIST} FROM agent_transition WHERE agent = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (agent, cursors.before(cursor), limit + 1),
        )
        next_cursor = str(rows[limit - 1][0]) if len(rows) > limit else None
        return Slice([TransitionRow(*row[1:]) for row in rows[:limit]], next_cursor)

    def called(self, agent_id: str) -> str | None:
        """The name of the agent that has, or had, this id."""
        rows = self._ask("SELECT agent FROM agent_transition WHERE agent_id = ? LIMIT 1", (agent_id,))
        return str(rows[0][0]) if rows else None
