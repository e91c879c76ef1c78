"""Messages of one transaction: accepted, settled, tried in vain, revived, forgotten.

Owns the ledger: rows and counters change together here, nowhere else. Must never commit.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from caxton.protocol.messages import State
from caxton.store import listing
from caxton.store import message_sql as sql
from caxton.store.ledger import LedgerDelta
from caxton.store.rows import Accept, FailedAttempt, Settle
from caxton.store.statements import MultiRow

_DEAD: Final = State.DEAD.value
_PENDING: Final = State.PENDING.value
_INSERT_ATTEMPT: Final = (
    "INSERT OR REPLACE INTO attempt (message_seq, number, at, code, detail, backtrace, duration_seconds) "
    "SELECT seq, ?, ?, ?, ?, ?, ? FROM message WHERE message_id = ?"
)
_NOTE_ATTEMPT: Final = (
    "UPDATE message SET attempts = max(attempts, ?), next_at = ? WHERE message_id = ? AND state = 'pending'"
)
_FORWARDED: Final = "SELECT seq, receiver FROM message WHERE message_id = ? AND state = 'forwarded'"
_RETURN: Final = (
    "UPDATE message SET state = ?, delivery = ?, content = ?, digest = ?, finished_at = ?, attempts = ?, "
    "outcome = ?, next_at = NULL WHERE seq = ?"
)
_DELETE_ATTEMPTS: Final = MultiRow("DELETE FROM attempt WHERE message_seq IN (", 1, ")", scalar=True)
_DELETE: Final = MultiRow("DELETE FROM message WHERE seq IN (", 1, ")", scalar=True)
_REVIVE: Final = MultiRow(
    "UPDATE message SET state = 'pending', attempts = 0, next_at = NULL, finished_at = NULL, outcome = NULL "
    "WHERE seq IN (",
    1,
    ")",
    scalar=True,
)


class Pending:
    """Every pending message: id → (seq, agent), and the last `seq` given: never one that is listed already.

    The writer is the only one that changes rows, so this equals the table; settling needs no look-up.
    """

    def __init__(self, connection: sqlite3.Connection, listed: int) -> None:
        newest: int = connection.execute("SELECT coalesce(max(seq), 0) FROM message").fetchone()[0]
        self.last_seq = max(newest, listed)
        rows = connection.execute("SELECT message_id, seq, receiver FROM message WHERE state = 'pending'")
        self.rows: dict[str, tuple[int, str]] = {row[0]: (row[1], row[2]) for row in rows}


def accept(
    connection: sqlite3.Connection,
    pending: Pending,
    ledger: LedgerDelta,
    accepts: dict[str, Accept],
    settles: dict[str, Settle],
) -> set[str]:
    """Inserts `accepts` (by id) and returns the ids that were there already.

    A settle of a message inserted here is taken out of `settles`: the row is written in its final state.
    """
    known = pending.rows
    fresh = [item for message_id, item in accepts.items() if message_id not in known]
    duplicates = {message_id for message_id in accepts if message_id in known}
    if not fresh:
        return duplicates
    first = pending.last_seq + 1
    rows, ends = [], []
    for seq, item in enumerate(fresh, first):
        state, end = _final(item, settles)
        rows.append(sql.row_values(seq, item, state, end))
        ends.append(state)
    pending.last_seq += len(fresh)
    complete = sql.INSERT.execute(connection, rows) == len(rows)
    inserted = None if complete else _seqs_from(connection, first)
    for seq, (item, state) in enumerate(zip(fresh, ends, strict=True), first):
        message = item.message
        if inserted is not None and seq not in inserted:
            if not (item.home and _returned(connection, pending, ledger, item, seq, settles)):
                duplicates.add(message.message_id)
            continue
        settles.pop(message.message_id, None)
        ledger.accepted(message.receiver)
        if state is _PENDING:
            known[message.message_id] = (seq, message.receiver)
        else:
            ledger.settled(message.receiver, state)
    handed = [(item.message.message_id,) for item in fresh if item.handed]
    if handed:
        sql.HANDED.execute(connection, handed)
    return duplicates


def _returned(
    connection: sqlite3.Connection,
    pending: Pending,
    ledger: LedgerDelta,
    item: Accept,
    seq: int,
    settles: dict[str, Settle],
) -> bool:
    """A message that was forwarded from here is here again, with the agent: as `seq`, behind what came before it."""
    message = item.message
    found = connection.execute(_FORWARDED, (message.message_id,)).fetchall()
    if not found:
        return False
    before, agent = found[0]
    move(connection, before, seq)
    state, end = _final(item, settles)
    finished_at, attempts, outcome = end or (None, item.attempts, None)
    connection.execute(
        _RETURN, (state, item.delivery, message.content, item.digest, finished_at, attempts, outcome, seq)
    )
    settles.pop(message.message_id, None)
    ledger.gone(agent, State.FORWARDED, 1)
    ledger.accepted(agent)
    if state == _PENDING:
        pending.rows[message.message_id] = (seq, agent)
    else:
        ledger.settled(agent, state)
    return True


def move(connection: sqlite3.Connection, before: int, seq: int) -> None:
    """The row takes another place in the order, behind all others."""
    listing.unlist(connection, [before])
    connection.execute("PRAGMA defer_foreign_keys = 1")  # until the end of this transaction
    connection.execute("UPDATE message SET seq = ? WHERE seq = ?", (seq, before))
    connection.execute("UPDATE attempt SET message_seq = ? WHERE message_seq = ?", (seq, before))


def _final(item: Accept, settles: dict[str, Settle]) -> tuple[str, sql.EndValues | None]:
    state = sql.STATES[item.state]
    if state != _PENDING:
        outcome = None if item.outcome is None else sql.encode_outcome(item.outcome)
        at = item.accepted_at if item.finished_at is None else item.finished_at
        return state, (at, item.attempts, outcome)
    settle = settles.get(item.message.message_id)
    if settle is None:
        return _PENDING, None
    return sql.STATES[settle.state], (settle.at, settle.attempts, sql.encode_outcome(settle.outcome))


def _seqs_from(connection: sqlite3.Connection, first: int) -> set[int]:
    return {row[0] for row in connection.execute("SELECT seq FROM message WHERE seq >= ?", (first,))}


def settle(
    connection: sqlite3.Connection, pending: Pending, ledger: LedgerDelta, settles: dict[str, Settle]
) -> set[str]:
    """Ends pending messages; returns the ids of those that were not pending."""
    missed: set[str] = set()
    rows: list[tuple[Any, ...]] = []
    for message_id, item in settles.items():
        row = pending.rows.pop(message_id, None)
        if row is None:
            missed.add(message_id)
            continue
        state = sql.STATES[item.state]
        ledger.settled(row[1], state)
        rows.append((row[0], state, item.at, item.attempts, sql.encode_outcome(item.outcome)))
    if rows:
        sql.SETTLE.execute(connection, rows)
    return missed


def note_attempts(connection: sqlite3.Connection, attempts: list[FailedAttempt]) -> None:
    """Keeps failed attempts of stored messages; those of a message without a row are dropped."""
    for item in attempts:
        values = (item.number, item.at, item.code, item.detail, item.backtrace, item.duration_seconds)
        connection.execute(_INSERT_ATTEMPT, (*values, item.message_id))
        connection.execute(_NOTE_ATTEMPT, (item.number, item.next_at, item.message_id))


def revive(connection: sqlite3.Connection, pending: Pending, ledger: LedgerDelta, ids: list[str]) -> set[str]:
    """Dead letters become pending again; returns the ids that could not."""
    rows = {row[0]: row for row in _dead(connection, ids) if not row[4]}
    seqs = [(row[1],) for row in rows.values()]
    _DELETE_ATTEMPTS.execute(connection, seqs)
    _REVIVE.execute(connection, seqs)
    for message_id, seq, agent, *_ in rows.values():
        pending.rows[message_id] = (seq, agent)
        ledger.revived(agent)
    return set(ids) - rows.keys()


def forget(connection: sqlite3.Connection, ledger: LedgerDelta, ids: list[str]) -> set[str]:
    """Deletes dead letters; returns the ids that were none."""
    rows = _dead(connection, ids)
    listing.unlist(connection, [row[1] for row in rows])
    _DELETE.execute(connection, [(row[1],) for row in rows])
    for row in rows:
        ledger.gone(row[2], _DEAD, 1)
    return set(ids) - {row[0] for row in rows}


def _dead(connection: sqlite3.Connection, ids: list[str]) -> list[tuple[Any, ...]]:
    return [row for row in sql.STANDING.select(connection, [(i,) for i in dict.fromkeys(ids)]) if row[3] == _DEAD]
