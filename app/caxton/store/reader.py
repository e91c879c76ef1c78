"""Readers: committed data only, by short queries.

Owns one read-only connection for each thread that asks. Must never write. Pages run newest first, unless said
otherwise; a cursor is whatever the page before gave out (else `INVALID_REQUEST`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton.protocol.messages import State
from caxton.protocol.views import Counts
from caxton.store import cursors, listing
from caxton.store import message_sql as sql
from caxton.store.apply_rest import API_KEY_COLUMNS, EXECUTION_COLUMNS
from caxton.store.connect import open_reader
from caxton.store.departure import Departures
from caxton.store.extent import EVERYTHING, PREFIXES, Extent, bounds
from caxton.store.handover_rows import HandoverReader
from caxton.store.health import sizes
from caxton.store.ledger import read_counts, recount
from caxton.store.namespaces import Namespaces
from caxton.store.registry_rows import RegistryReader
from caxton.store.rows import (
    AgentRow,
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    JobRow,
    KeyRow,
    Known,
    LogRow,
    MessageRow,
    Mismatch,
    RevokedTokenRow,
    Sizes,
    Slice,
    TimerRow,
)
from caxton.store.secret_rows import SecretReader
from caxton.store.snapshot_reader import SnapshotReader
from caxton.store.supervision import SupervisionReader
from caxton.store.talks import Talks
from caxton.store.transitions import Transitions
from caxton.store.version_rows import RolloutRow, VersionRow, read_rollouts, read_versions

_decode_agent: Final = msgspec.json.Decoder(AgentRow).decode
_decode_job: Final = msgspec.json.Decoder(JobRow).decode


class Reader(SupervisionReader, SecretReader, RegistryReader, HandoverReader):
    """Answers from any thread; each gets a connection of its own, closed by `close`."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._local = threading.local()
        self._lock = threading.Lock()
        self._opened: list[sqlite3.Connection] = []
        self.snapshots = SnapshotReader(self._connection)
        self.departures = Departures(self._connection)
        self.talks = Talks(self._all)
        self.namespaces = Namespaces(self._all)
        self.transitions = Transitions(self._all)

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_reader(self._database)
            with self._lock:
                self._opened.append(connection)
        return connection

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection().execute(query, values).fetchall()

    def _one(self, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        # fetchall, because a statement left half read would pin its snapshot and stop checkpoints.
        rows = self._all(query, values)
        return rows[0] if rows else None

    # ---- messages -----------------------------------------------------------------------------------

    def message(self, message_id: str) -> MessageRow | None:
        """One message with everything that is stored of it."""
        row = self._one(f"{sql.SELECT} WHERE message_id = ?", (message_id,))
        return None if row is None else sql.message_row(row)

    def known(self, message_ids: Sequence[str]) -> dict[str, Known]:
        """Those of `message_ids` that were seen before, with digest and outcome."""
        rows = sql.KNOWN.select(self._connection(), [(message_id,) for message_id in message_ids])
        return {
            row[0]: Known(row[1], State(row[2]), row[3], None if row[4] is None else sql.decode_outcome(row[4]))
            for row in rows
        }

    def attempts(self, message_id: str) -> list[FailedAttempt]:
        """Failed deliveries of a message, oldest first."""
        rows = self._all(
            "SELECT message_id, number, at, code, detail, backtrace, duration_seconds FROM attempt "
            "JOIN message ON seq = message_seq WHERE message_id = ? ORDER BY number",
            (message_id,),
        )
        return [FailedAttempt(*row) for row in rows]

    def waiting(self, agent: str | None = None) -> Iterator[MessageRow]:
        """Pending messages (of one agent) in the order of handling: what came with it, from its old home, first."""
        for handed in (True, False):
            after = 0
            while rows := self.pending(agent, handed=handed, after=after):
                yield from rows
                after = rows[-1].seq

    def pending(
        self, agent: str | None = None, *, handed: bool = False, after: int = 0, limit: int = 1_000
    ) -> list[MessageRow]:
        """Pending messages (of one agent) accepted after `seq` `after`, oldest first: handed ones, or all others."""
        which = (
            "INDEXED BY message_handed WHERE state = 'pending' AND handed = 1"
            if handed
            else "INDEXED BY message_pending WHERE state = 'pending' AND handed IS NULL"
        )
        where, values = ("AND receiver = ?", (agent,)) if agent is not None else ("", ())
        rows = self._all(f"{sql.SELECT} {which} AND seq > ? {where} ORDER BY seq LIMIT ?", (after, *values, limit))
        return [sql.message_row(row) for row in rows]

    def messages(
        self,
        *,
        agent: str | None = None,
        conversation_id: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        extent: Extent = EVERYTHING,
    ) -> Slice[MessageRow]:
        """A page of messages, filtered; `state` is one that is stored, so not `in_flight`."""
        given = [("receiver = ?", agent if conversation_id is not None else None), ("state = ?", state)]
        more = "".join(f" AND {condition}" for condition, value in given if value is not None)
        values = [value for _, value in given if value is not None]
        before = cursors.before(cursor)
        everywhere = conversation_id is None and agent is None
        text, of_extent = extent.messages(by_receiver=not everywhere)
        more, values = more + text, [*values, *of_extent]
        if everywhere and extent.namespace is not None:
            return self._messages_within(extent.namespace, before, more, values, limit)
        if everywhere:
            return self._message_page(f"seq < ?{more}", [before, *values], limit)
        name = agent if conversation_id is None else conversation_id
        query = listing.page_query(sql.STORED, conversation=conversation_id is not None, more=more)
        found = self._all(query, listing.page_values(name, before, values, limit + 1))
        if conversation_id is not None:
            # Not in the list: the message that carries the conversation's own id.
            own = "message_id = ? AND conversation_id = message_id AND seq < ?"
            found += self._all(f"{sql.SELECT} WHERE {own}{more}", (name, before, *values))
            found = sorted(found, key=lambda row: row[0], reverse=True)[: limit + 1]
        return _message_slice(found, limit)

    def _messages_within(
        self, namespace: str, before: Any, more: str, values: list[Any], limit: int
    ) -> Slice[MessageRow]:
        """By the list of receivers: what other namespaces get costs nothing here."""
        query = listing.range_query(sql.STORED, more=more)
        found: list[tuple[Any, ...]] = []
        for prefix in PREFIXES:
            low, high = bounds(namespace, prefix)
            found += self._all(query, listing.range_values(low, high, before, values, limit + 1))
        return _message_slice(sorted(found, key=lambda row: row[0], reverse=True)[: limit + 1], limit)

    def dead(
        self,
        *,
        agent: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        extent: Extent = EVERYTHING,
    ) -> Slice[MessageRow]:
        """A page of dead letters."""
        where, values = "state = 'dead' AND seq < ?", list[Any]([cursors.before(cursor)])
        if agent is not None:
            where += " AND receiver = ?"
            values.append(agent)
        more, of_extent = extent.messages()
        return self._message_page(where + more, [*values, *of_extent], limit, "INDEXED BY message_dead")

    def dead_ids(self, agent: str | None = None, *, limit: int = 1_000, extent: Extent = EVERYTHING) -> list[str]:
        """Ids of dead letters (of one agent), oldest first: for replaying or purging all of them."""
        where, values = (" AND receiver = ?", (agent,)) if agent is not None else ("", ())
        more, of_extent = extent.messages()
        rows = self._all(
            "SELECT message_id FROM message INDEXED BY message_dead "
            f"WHERE state = 'dead'{where}{more} ORDER BY seq LIMIT ?",
            (*values, *of_extent, limit),
        )
        return [row[0] for row in rows]

    def parties(self, message_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Sender and receiver of stored messages, by id."""
        rows = sql.PARTIES.select(self._connection(), [(message_id,) for message_id in message_ids])
        return {row[0]: (row[1], row[2]) for row in rows}

    def _message_page(self, where: str, values: list[Any], limit: int, index: str = "") -> Slice[MessageRow]:
        found = self._all(f"{sql.SELECT} {index} WHERE {where} ORDER BY seq DESC LIMIT ?", (*values, limit + 1))
        return _message_slice(found, limit)

    def ledger(self) -> dict[str, Counts]:
        """Counters and pending rows of every agent that ever had a message; `in_flight` is the router's."""
        connection = self._connection()
        connection.execute("BEGIN")  # one snapshot for counters and rows
        try:
            return read_counts(connection)
        finally:
            connection.execute("COMMIT")

    def recount(self) -> list[Mismatch]:
        """Counters that differ from the rows; reads every row, so call it from a thread of its own."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            return recount(connection)
        finally:
            connection.execute("COMMIT")

    # ---- agents -------------------------------------------------------------------------------------

    def agents(self) -> list[AgentRow]:
        """Every deployed agent, by name."""
        rows = self._all("SELECT document, incarnation, next_timer_id FROM agent ORDER BY name")
        return [
            msgspec.structs.replace(_decode_agent(row[0]), incarnation=row[1], next_timer_id=row[2]) for row in rows
        ]

    def versions(self, agent: str | None = None) -> list[VersionRow]:
        """The kept versions (of one agent), oldest first."""
        return read_versions(self._connection(), agent)

    def rollouts(self) -> list[RolloutRow]:
        """The latest rollout of every agent that had one."""
        return read_rollouts(self._connection())

    def load_key(self, agent: str, key: str) -> bytes | None:
        """The value of one key."""
        row = self._one("SELECT value FROM key_value WHERE agent = ? AND key = ?", (agent, key))
        return None if row is None else row[0]

    def keys(self, agent: str, *, limit: int = 50, cursor: str | None = None) -> Slice[KeyRow]:
        """A page of an agent's keys, in their order; the cursor is the last key."""
        after = "" if cursor is None else "AND key > ?"
        rows = self._all(
            f"SELECT key, value FROM key_value WHERE agent = ? {after} ORDER BY key LIMIT ?",
            (agent, *(() if cursor is None else (cursor,)), limit + 1),
        )
        page = [KeyRow(*row) for row in rows[:limit]]
        return Slice(page, page[-1].key if len(rows) > limit else None)

    def state_bytes(self, agent: str) -> int:
        """Bytes of an agent's keys and values."""
        row = self._one(
            "SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM key_value WHERE agent = ?",
            (agent,),
        )
        return int(row[0]) if row else 0

    def timers(self, agent: str | None = None) -> list[TimerRow]:
        """Every timer (of one agent) that is set, soonest first."""
        where, values = ("WHERE agent = ?", (agent,)) if agent is not None else ("", ())
        rows = self._all(f"SELECT agent, timer_id, due FROM timer {where} ORDER BY due", values)
        return [TimerRow(*row) for row in rows]

    def logs(self, agent: str, *, after: int | None = None, limit: int = 100) -> list[LogRow]:
        """Lines of an agent's log, oldest first: the last `limit`, or the first `limit` after `seq` `after`."""
        columns = "agent, at, stream, text, message_id, seq"
        if after is not None:
            rows = self._all(
                f"SELECT {columns} FROM log_line WHERE agent = ? AND seq > ? ORDER BY seq LIMIT ?",
                (agent, after, limit),
            )
        else:
            rows = self._all(
                f"SELECT {columns} FROM log_line WHERE agent = ? ORDER BY seq DESC LIMIT ?", (agent, limit)
            )[::-1]
        return [LogRow(*row) for row in rows]

    def executions(self, agent: str, *, limit: int = 50, cursor: str | None = None) -> Slice[ExecutionRow]:
        """A page of an agent's executions."""
        rows = self._all(
            f"SELECT seq, {', '.join(EXECUTION_COLUMNS)} FROM execution WHERE agent = ? AND seq < ? "
            "ORDER BY seq DESC LIMIT ?",
            (agent, cursors.before(cursor), limit + 1),
        )
        next_cursor = str(rows[limit - 1][0]) if len(rows) > limit else None
        return Slice([ExecutionRow(*row[1:]) for row in rows[:limit]], next_cursor)

    # ---- node ---------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobRow | None:
        """One job."""
        row = self._one("SELECT document FROM job WHERE job_id = ?", (job_id,))
        return None if row is None else _decode_job(row[0])

    def jobs(self, *, state: str | None = None) -> list[JobRow]:
        """All jobs (in one state), newest first."""
        where, values = ("WHERE state = ?", (state,)) if state is not None else ("", ())
        return [
            _decode_job(row[0])
            for row in self._all(f"SELECT document FROM job {where} ORDER BY created_at DESC", values)
        ]

    def api_key(self, key_id: str) -> ApiKeyRow | None:
        """One API key."""
        row = self._one(f"SELECT {', '.join(API_KEY_COLUMNS)} FROM api_key WHERE key_id = ?", (key_id,))
        return None if row is None else ApiKeyRow(*row)

    def api_keys(self, *, limit: int = 50, cursor: str | None = None) -> Slice[ApiKeyRow]:
        """A page of API keys, by id; the cursor is the last id."""
        rows = self._all(
            f"SELECT {', '.join(API_KEY_COLUMNS)} FROM api_key WHERE key_id > ? ORDER BY key_id LIMIT ?",
            (cursor or "", limit + 1),
        )
        page = [ApiKeyRow(*row) for row in rows[:limit]]
        return Slice(page, page[-1].key_id if len(rows) > limit else None)

    def revoked_token(self, jti: str) -> RevokedTokenRow | None:
        """The token with this `jti`, if it was revoked."""
        row = self._one("SELECT jti, revoked_at, expires_at FROM revoked_token WHERE jti = ?", (jti,))
        return None if row is None else RevokedTokenRow(*row)

    def revoked_tokens(self, *, limit: int = 50, cursor: str | None = None) -> Slice[RevokedTokenRow]:
        """A page of revoked tokens, by `jti`; the cursor is the last one."""
        rows = self._all(
            "SELECT jti, revoked_at, expires_at FROM revoked_token WHERE jti > ? ORDER BY jti LIMIT ?",
            (cursor or "", limit + 1),
        )
        page = [RevokedTokenRow(*row) for row in rows[:limit]]
        return Slice(page, page[-1].jti if len(rows) > limit else None)

    def live_keys(self, subject: str, now: float) -> list[ApiKeyRow]:
        """The keys of a subject that are neither revoked nor expired, oldest first."""
        rows = self._all(
            f"SELECT {', '.join(API_KEY_COLUMNS)} FROM api_key WHERE subject = ? AND revoked_at IS NULL "
            "AND (expires_at IS NULL OR expires_at > ?) ORDER BY created_at",
            (subject, now),
        )
        return [ApiKeyRow(*row) for row in rows]

    def has_administrator(self, now: float, but: str) -> bool:
        """Whether anybody but the subject `but` has a live key that may do everything everywhere."""
        row = self._one(
            "SELECT 1 FROM api_key WHERE subject <> ? AND (role IS NULL OR role = 'admin') AND namespace IS NULL "
            "AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) LIMIT 1",
            (but, now),
        )
        return row is not None

    def schema_version(self) -> int:
        """The version of the schema in the file."""
        row = self._one("SELECT version FROM schema_info WHERE id = 1")
        return int(row[0]) if row else 0

    def dead_letters(self) -> int:
        """How many messages are dead letters now."""
        row = self._one("SELECT count(*) FROM message INDEXED BY message_dead WHERE state = 'dead'")
        return int(row[0]) if row else 0

    def sizes(self) -> Sizes:
        """Bytes on disk now."""
        return sizes(self._connection(), self._database)


def _message_slice(found: list[tuple[Any, ...]], limit: int) -> Slice[MessageRow]:
    rows = [sql.message_row(row) for row in found[:limit]]
    return Slice(rows, str(rows[-1].seq) if len(found) > limit else None)
