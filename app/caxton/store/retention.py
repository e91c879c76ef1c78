"""Forgetting what is old or too much, in slices small enough to fit between two commits.

Owns what may be deleted and in which order. Must never take a row that deduplication still needs, nor a
pending message, and never commits. Disk pages that become free are used again; the file does not shrink.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from caxton.store import apply_talks, listing, transitions
from caxton.store.ledger import LedgerDelta
from caxton.store.rows import Retention, Swept

_ENDED: Final = "state <> 'pending' AND finished_at < ?"
_NEEDED: Final = (  # a dead letter for which its conversation waits
    "EXISTS (SELECT 1 FROM held_conversation h WHERE h.agent = message.receiver "
    "AND h.conversation_id = message.conversation_id AND h.message_id = message.message_id)"
)
_IN_SLICE: Final = "seq > ? AND seq <= ?"


class Sweeper:
    """Sweeps a slice a call; remembers where it is."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows_after = 0
        self._contents_after = 0

    def sweep(self, policy: Retention, now: float) -> Swept:
        """One slice of everything, inside the caller's transaction."""
        over = used_bytes(self._connection) > policy.retention_bytes
        keep = policy.dedup_window if over else max(policy.retention, policy.dedup_window)
        messages, more_messages = self._delete_messages(now - keep, policy.slice_rows)
        contents, more_contents = 0, False
        if over and not more_messages:
            contents, more_contents = self._drop_contents(now, policy.slice_rows)
        jobs = self._delete_jobs(now - policy.job_seconds, policy.slice_rows)
        logs = self._trim_logs(policy)
        executions = self._trim_executions(policy)
        talks = apply_talks.forget(self._connection, now - keep, policy.slice_rows)
        gone = transitions.forget(self._connection, now - keep, policy.slice_rows)
        most = max(jobs, logs, executions, talks, gone)
        more = more_messages or more_contents or most >= policy.slice_rows
        return Swept(messages, contents, jobs, logs, executions, more)

    def _delete_messages(self, before: float, limit: int) -> tuple[int, bool]:
        first = self._rows_after
        last = self._slice_end(first, before, limit)
        if last is None:
            self._rows_after = 0
            return 0, False
        where = f"{_IN_SLICE} AND {_ENDED} AND NOT {_NEEDED}"
        rows = self._connection.execute(
            f"SELECT receiver, state, seq FROM message WHERE {where}", (first, last, before)
        ).fetchall()
        ledger = LedgerDelta()
        for agent, state, _ in rows:
            ledger.gone(agent, state, 1)
        ledger.write(self._connection)
        listing.unlist(self._connection, [row[2] for row in rows])
        self._connection.execute(f"DELETE FROM message WHERE {where}", (first, last, before))
        self._rows_after = last
        return len(rows), True

    def _drop_contents(self, now: float, limit: int) -> tuple[int, bool]:
        """Dead letters keep theirs: without it they could not be replayed."""
        first = self._contents_after
        last = self._slice_end(first, now, limit)
        if last is None:
            self._contents_after = 0
            return 0, False
        dropped = self._connection.execute(
            f"UPDATE message SET content = NULL WHERE {_IN_SLICE} AND {_ENDED} AND state <> 'dead' "
            "AND content IS NOT NULL",
            (first, last, now),
        ).rowcount
        self._contents_after = last
        return dropped, True

    def _slice_end(self, after: int, before: float, limit: int) -> int | None:
        """The last `seq` of the next slice of messages accepted before `before`; None = no such message."""
        found: int | None = self._connection.execute(
            "SELECT max(seq) FROM (SELECT seq, accepted_at FROM message WHERE seq > ? ORDER BY seq LIMIT ?) "
            "WHERE accepted_at < ?",
            (after, limit, before),
        ).fetchone()[0]
        return found

    def _delete_jobs(self, before: float, limit: int) -> int:
        return self._connection.execute(
            "DELETE FROM job WHERE job_id IN (SELECT job_id FROM job WHERE finished_at < ? LIMIT ?)", (before, limit)
        ).rowcount

    def _trim_logs(self, policy: Retention) -> int:
        deleted = 0
        for agent in self._agents_of("log_line"):
            cut = self._connection.execute(
                "SELECT max(seq) FROM (SELECT seq, row_number() OVER newest AS line, "
                "sum(length(CAST(text AS BLOB))) OVER newest AS bytes FROM log_line WHERE agent = ? "
                "WINDOW newest AS (ORDER BY seq DESC)) WHERE line > ? OR bytes > ?",
                (agent, policy.log_lines, policy.log_bytes),
            ).fetchone()[0]
            deleted += self._trim("log_line", agent, cut, policy.slice_rows - deleted)
        return deleted

    def _trim_executions(self, policy: Retention) -> int:
        deleted = 0
        for agent in self._agents_of("execution"):
            row = self._connection.execute(
                "SELECT seq FROM execution WHERE agent = ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
                (agent, policy.executions),
            ).fetchone()
            deleted += self._trim("execution", agent, row and row[0], policy.slice_rows - deleted)
        return deleted

    def _trim(self, table: str, agent: str, up_to: int | None, limit: int) -> int:
        if up_to is None or limit <= 0:
            return 0
        return self._connection.execute(
            f"DELETE FROM {table} WHERE seq IN "
            f"(SELECT seq FROM {table} WHERE agent = ? AND seq <= ? ORDER BY seq LIMIT ?)",
            (agent, up_to, limit),
        ).rowcount

    def _agents_of(self, table: str) -> list[str]:
        """Names in the index, by skipping from one to the next."""
        names: list[str] = []
        name = ""
        while True:
            row = self._connection.execute(
                f"SELECT agent FROM {table} WHERE agent > ? ORDER BY agent LIMIT 1", (name,)
            ).fetchone()
            if row is None:
                return names
            name = row[0]
            names.append(name)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the database's pages that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
