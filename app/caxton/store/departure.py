"""What an agent takes along when its home moves: its rows, in pages, and the ids of its messages that have ended.

Owns which tables and columns that are, and reading them. Must never write. Pages are small enough for one frame and
one short transaction, whatever is in the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from caxton.protocol.handover import HandoverKnown, HandoverPage
from caxton.store.apply_rest import EXECUTION_COLUMNS
from caxton.store.apply_talks import CONVERSATION_COLUMNS
from caxton.store.message_sql import COLUMNS
from caxton.store.transitions import COLUMNS as TRANSITION_COLUMNS

PAGE_ROWS: Final = 1_000
PAGE_BYTES: Final = 1024 * 1024
"""A page ends with the row that reaches this."""


@dataclass(frozen=True, slots=True)
class Travelling:
    """One table. `order`: the column that tells the agent's rows apart, by which they are paged."""

    columns: tuple[str, ...]
    order: str
    where: str = "agent = ?1"
    source: str = ""
    """The table, where that has another name."""


TABLES: Final[dict[str, Travelling]] = {
    "key_value": Travelling(("agent", "key", "value"), "key"),
    "timer": Travelling(("agent", "timer_id", "due"), "timer_id"),
    "agent_version": Travelling(("agent", "version", "document"), "version"),
    "rollout": Travelling(("agent", "document"), "agent"),
    "agent_snapshot_block": Travelling(("agent", "block", "data"), "block"),
    "agent_snapshot_part": Travelling(("agent", "part", "data"), "part"),
    "agent_snapshot": Travelling(
        ("agent", "agent_id", "module_sha256", "incarnation", "generation", "taken_at", "memory_bytes", "globals",
         "wakes", "known"),
        "agent",
    ),
    "held_conversation": Travelling(("agent", "conversation_id", "message_id", "at"), "conversation_id"),
    "schedule_mark": Travelling(("agent", "name", "due"), "name"),
    "conversation": Travelling(CONVERSATION_COLUMNS, "seq", "?1 IN (initiator, participant)"),
    "execution": Travelling(EXECUTION_COLUMNS, "seq"),
    "log_line": Travelling(("agent", "at", "stream", "text", "message_id"), "seq"),
    "agent_transition": Travelling(TRANSITION_COLUMNS, "seq"),
    "message": Travelling(COLUMNS[1:], "seq", "receiver = ?1 AND state = 'dead'"),
}  # fmt: skip
"""A snapshot's head comes behind its memory: until it is there, there is none.

Of `message`: dead letters, which can be replayed only where the agent is. What is pending goes by the outbox.
"""
PENDING: Final = "pending"
ARCHIVED: Final = TABLES | {PENDING: Travelling(COLUMNS[1:], "seq", "receiver = ?1 AND state = 'pending'", "message")}
"""With what waits for the agent, where no outbox brings that."""
KNOWN_COLUMNS: Final = tuple(name for name in COLUMNS if name not in ("seq", "content"))
_KNOWN: Final = ", ".join(f"message.{name}" for name in KNOWN_COLUMNS)
_LISTED: Final = (
    f"SELECT message.seq, {_KNOWN} FROM message_of_receiver listed CROSS JOIN message ON message.seq = listed.seq "
    "WHERE listed.name = ?1 AND listed.seq > ?2 ORDER BY listed.seq LIMIT ?3"
)
_BEHIND: Final = (
    f"SELECT message.seq, {_KNOWN} FROM message WHERE receiver = ?1 AND seq > ?2 "
    "AND seq > coalesce((SELECT up_to FROM listing WHERE id = 1), 0) ORDER BY seq LIMIT ?3"
)
_HAS: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_STATE: Final = 1 + KNOWN_COLUMNS.index("state")
_FINISHED: Final = 1 + KNOWN_COLUMNS.index("finished_at")
_OUTCOME: Final = 1 + KNOWN_COLUMNS.index("outcome")
_ENDED: Final = frozenset({"done", "expired", "cancelled"})


@dataclass(slots=True)
class Told:
    """How far the ids of ended messages have been told: up to `seq`, but for those that were pending then."""

    seq: int = 0
    pending: frozenset[int] = frozenset()


class Departures:
    """Answers from any thread, through the connection that `connection()` gives to it."""

    def __init__(self, connection: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connection

    def page(self, agent: str, table: str, number: int, after: Any = None) -> tuple[HandoverPage, Any] | None:
        """The rows of one table behind `after`, and where they end; None: there are none, or no such table.

        The database may be one that an older release left.
        """
        travels = ARCHIVED[table]
        if self._connection().execute(_HAS, (travels.source or table,)).fetchone() is None:
            return None
        more = "" if after is None else f"AND {travels.order} > ?2"
        query = (
            f"SELECT {travels.order}, {', '.join(travels.columns)} FROM {travels.source or table} "
            f"WHERE {travels.where} {more} "
            f"ORDER BY {travels.order}"
        )
        rows = list(_bounded(self._connection(), query, (agent,) if after is None else (agent, after)))
        if not rows:
            return None
        page = HandoverPage(agent, 0, number, table, list(travels.columns), [list(row[1:]) for row in rows])
        return page, rows[-1][0]

    def known(self, agent: str, told: Told, since: float) -> HandoverKnown | None:
        """Messages of the agent that ended after `since`, behind `told`, which is moved on; None: that is all."""
        connection = self._connection()
        connection.execute("BEGIN")  # one snapshot: the list may be extended meanwhile
        try:
            found = _rows(connection, _LISTED, (agent, told.seq, PAGE_ROWS))
            found = found or _rows(connection, _BEHIND, (agent, told.seq, PAGE_ROWS))
        finally:
            connection.execute("COMMIT")
        if not found:
            return None
        told.seq = found[-1][0]
        told.pending |= {row[0] for row in found if row[_STATE] == "pending"}
        return HandoverKnown(agent, list(KNOWN_COLUMNS), _ended(found, since))

    def known_late(self, agent: str, told: Told, since: float) -> Iterator[HandoverKnown]:
        """Those that were pending when they were passed, and have ended since."""
        late = sorted(told.pending)
        for start in range(0, len(late), 200):
            part = late[start : start + 200]
            marks = ",".join("?" * len(part))
            found = _rows(
                self._connection(), f"SELECT message.seq, {_KNOWN} FROM message WHERE seq IN ({marks})", part
            )
            yield HandoverKnown(agent, list(KNOWN_COLUMNS), _ended(found, since))


def _ended(found: list[tuple[Any, ...]], since: float) -> list[list[Any]]:
    """Without the seq; those that end later, and dead letters, come in other ways."""
    return [list(row[1:]) for row in found if row[_STATE] in _ENDED and (row[_FINISHED] or since) >= since]


def _rows(connection: sqlite3.Connection, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """At most as many as a page holds: outcomes may be large."""
    return list(_bounded(connection, query, values))


def _bounded(connection: sqlite3.Connection, query: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(query, values)
    size = count = 0
    try:
        for row in cursor:
            yield row
            size += sum(len(value) for value in row if isinstance(value, bytes | str))
            count += 1
            if size >= PAGE_BYTES or count >= PAGE_ROWS:
                return
    finally:
        cursor.close()  # a statement left half read would pin its snapshot
