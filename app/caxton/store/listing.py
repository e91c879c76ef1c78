"""Lists of messages by receiver and by conversation, extended in bulk.

Owns two tables of (name, seq) and the mark up to which they are complete. Must never be extended message by
message: an index entry costs a page of its own in the log then (measured: 16 of 55 us a message), in bulk
one page takes the entries of many. What lies behind the mark is found by reading those few rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from caxton.store.statements import MultiRow

ROWS_BEHIND: Final = 2_048
"""Messages that may be missing in the lists: reading over that many rows takes about a millisecond."""
_MARK: Final = "coalesce((SELECT up_to FROM listing WHERE id = 1), 0)"
_EXTEND: Final = (
    "INSERT INTO message_of_receiver (name, seq) "
    "SELECT receiver, seq FROM message WHERE seq > ? AND seq <= ? ORDER BY receiver, seq",
    # A message that begins a conversation of its own has its id as conversation: found by that.
    "INSERT INTO message_of_conversation (name, seq) SELECT conversation_id, seq FROM message "
    "WHERE seq > ? AND seq <= ? AND conversation_id <> message_id ORDER BY conversation_id, seq",
)
_SET_MARK: Final = (
    "INSERT INTO listing (id, up_to) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET up_to = excluded.up_to"
)
_UNLIST: Final = tuple(
    MultiRow(
        f"DELETE FROM {table} WHERE (name, seq) IN (SELECT {column}, seq FROM message WHERE seq IN (",
        1,
        "))",
        scalar=True,
    )
    for table, column in (("message_of_receiver", "receiver"), ("message_of_conversation", "conversation_id"))
)


def mark(connection: sqlite3.Connection) -> int:
    """The last `seq` that is in the lists."""
    found: int = connection.execute(f"SELECT {_MARK}").fetchone()[0]
    return found


def extend(connection: sqlite3.Connection, after: int, up_to: int) -> None:
    """Lists the messages with `after` < `seq` ≤ `up_to`, inside the caller's transaction."""
    for statement in _EXTEND:
        connection.execute(statement, (after, up_to))
    connection.execute(_SET_MARK, (up_to,))


def unlist(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Takes messages out of the lists; to be called before their rows are deleted."""
    rows = [(seq,) for seq in seqs]
    for statement in _UNLIST:
        statement.execute(connection, rows)


def page_query(columns: Sequence[str], *, conversation: bool, more: str) -> str:
    """The newest messages of a receiver or a conversation: list, then rows behind the mark.

    `more` ("AND …" or "") filters both halves, its values come once for each. Parameters: (name, before,
    *more, limit) twice, then the limit of the whole. One statement, so that both halves see one snapshot.
    """
    table = "message_of_conversation" if conversation else "message_of_receiver"
    column = "conversation_id" if conversation else "receiver"
    apart = "AND conversation_id <> message_id" if conversation else ""
    names = ", ".join(f"message.{name}" for name in columns)
    return (
        f"SELECT * FROM (SELECT {names} FROM {table} listed CROSS JOIN message ON message.seq = listed.seq "
        f"WHERE listed.name = ? AND listed.seq < ? {more} ORDER BY listed.seq DESC LIMIT ?) UNION ALL "
        f"SELECT * FROM (SELECT {names} FROM message WHERE {column} = ? AND seq > {_MARK} AND seq < ? "
        f"{apart} {more} ORDER BY seq DESC LIMIT ?) ORDER BY seq DESC LIMIT ?"
    )


def page_values(name: Any, before: Any, more: Sequence[Any], limit: int) -> tuple[Any, ...]:
    """The parameters of `page_query`."""
    half = (name, before, *more, limit)
    return (*half, *half, limit)


def range_query(columns: Sequence[str], *, more: str) -> str:
    """The newest messages of all receivers from one name to (without) another: as `page_query`.

    Bodies are read for one page only, whatever is in the range. Parameters: see `range_values`.
    """
    names = ", ".join(f"message.{name}" for name in columns)
    return (
        f"SELECT {names} FROM message WHERE seq IN (SELECT listed.seq FROM message_of_receiver listed "
        "CROSS JOIN message ON message.seq = listed.seq WHERE listed.name >= ? AND listed.name < ? "
        f"AND listed.seq < ? {more} ORDER BY listed.seq DESC LIMIT ?) UNION ALL "
        f"SELECT * FROM (SELECT {names} FROM message WHERE receiver >= ? AND receiver < ? AND seq > {_MARK} "
        f"AND seq < ? {more} ORDER BY seq DESC LIMIT ?) ORDER BY seq DESC LIMIT ?"
    )


def range_values(low: str, high: str, before: Any, more: Sequence[Any], limit: int) -> tuple[Any, ...]:
    """The parameters of `range_query`."""
    half = (low, high, before, *more, limit)
    return (*half, *half, limit)
