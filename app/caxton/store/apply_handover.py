"""Homes that move, in a transaction: steps and pages, state that arrives, what is left behind.

Owns how rows of another node become rows here, ledger included. Must never commit, nor touch a message that is
pending here, unless it has ended elsewhere.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from caxton.protocol.handover import HandoverKnown, HandoverPage
from caxton.protocol.messages import State
from caxton.store import handover_rows
from caxton.store import message_sql as sql
from caxton.store.apply_messages import Pending, move
from caxton.store.apply_snapshots import TABLES as SNAPSHOT_TABLES
from caxton.store.departure import ARCHIVED, KNOWN_COLUMNS, PENDING
from caxton.store.ledger import LedgerDelta
from caxton.store.rows import LogRow

FIELDS: Final = frozenset(
    {
        "handovers",
        "handovers_ended",
        "handover_pages",
        "handover_pages_dropped",
        "arriving",
        "unpacked",
        "ended_elsewhere",
        "departed",
    }
)
_STATE: Final = (
    "key_value", "timer", "agent_version", "rollout", "held_conversation", "schedule_mark", "http_call", "log_line",
    "execution", "agent_transition", *SNAPSHOT_TABLES,
)  # fmt: skip
_COLUMNS_OF_A_MESSAGE: Final = frozenset({*sql.COLUMNS, "handed"})
_REPLACED: Final = ("state", "digest", "attempts", "finished_at", "outcome", "handed")
Values = dict[str, Any]
"""One row by column."""


def write(connection: sqlite3.Connection, pending: Pending, ledger: LedgerDelta, used: Values) -> list[LogRow]:
    """Everything of one `Changes` that is about moves; lines of logs are given back, they are numbered elsewhere."""
    logs: list[LogRow] = []
    handover_rows.write(connection, used.get("handovers", ()))
    handover_rows.drop_pages(connection, used.get("handover_pages_dropped", ()))
    handover_rows.keep_pages(connection, used.get("handover_pages", ()))
    for agent in used.get("arriving", ()):
        _clear(connection, agent)
    for agent, number in used.get("unpacked", ()):
        page = handover_rows.take_page(connection, agent, number)
        logs += [] if page is None else _unpack(connection, pending, ledger, page)
    for known in used.get("ended_elsewhere", ()):
        _know(connection, pending, ledger, known)
    for agent in used.get("departed", ()):
        _depart(connection, ledger, agent)
    handover_rows.end(connection, used.get("handovers_ended", ()))
    return logs


def _clear(connection: sqlite3.Connection, agent: str) -> None:
    for table in _STATE:
        connection.execute(f"DELETE FROM {table} WHERE agent = ?", (agent,))


def _depart(connection: sqlite3.Connection, ledger: LedgerDelta, agent: str) -> None:
    _clear(connection, agent)
    connection.execute("DELETE FROM agent WHERE name = ?", (agent,))
    count = connection.execute(
        "UPDATE message SET state = 'forwarded', outcome = NULL WHERE receiver = ? AND state = 'dead'", (agent,)
    ).rowcount
    if count:
        ledger.departed(agent, count)


def _unpack(
    connection: sqlite3.Connection, pending: Pending, ledger: LedgerDelta, page: HandoverPage
) -> list[LogRow]:
    """A table or a column that only a newer release has is passed over: so is what it means."""
    travels = ARCHIVED.get(page.table)
    if travels is None:
        return []
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
    if page.table == "log_line":
        return [LogRow(**{name: row[name] for name in travels.columns}) for row in rows]
    if page.table in ("message", PENDING):
        for row in rows:
            _take(connection, pending, ledger, {**row, "handed": 1 if row["state"] == State.PENDING else None})
        return []
    columns = [name for name in travels.columns if name in page.columns]
    marks = ",".join("?" * len(columns))
    connection.executemany(
        f"INSERT OR REPLACE INTO {page.table} ({','.join(columns)}) VALUES ({marks})",
        [[row[name] for name in columns] for row in rows],
    )
    return []


def _take(connection: sqlite3.Connection, pending: Pending, ledger: LedgerDelta, row: Values) -> None:
    """A message is accepted here: dead already, or waiting as it did there."""
    agent, message_id = row["receiver"], row["message_id"]
    before = _standing(connection, message_id)
    if before not in (None, State.FORWARDED):
        return
    _put(connection, pending, row, fresh=before is None)
    if before is not None:
        ledger.gone(agent, State.FORWARDED, 1)
    ledger.accepted(agent)
    if row["state"] == State.PENDING:
        if before is not None:
            pending.last_seq += 1
            move(connection, _seq(connection, message_id), pending.last_seq)
        pending.rows[message_id] = (pending.last_seq, agent)
    else:
        ledger.settled(agent, row["state"])


def _know(connection: sqlite3.Connection, pending: Pending, ledger: LedgerDelta, known: HandoverKnown) -> None:
    """They count where they ended: here their rows are beside the counters, which `gone` says of them."""
    for values in known.rows:
        row = {name: value for name, value in zip(known.columns, values, strict=True) if name in KNOWN_COLUMNS}
        agent, before = row["receiver"], _standing(connection, row["message_id"])
        if before == State.PENDING:  # it went there from here, and the answer was lost
            pending.rows.pop(row["message_id"], None)
            ledger.settled(agent, State.FORWARDED)
        elif before not in (None, State.FORWARDED):
            continue
        _put(connection, pending, row, fresh=before is None)
        if before is not None:
            ledger.gone(agent, State.FORWARDED, 1)
        ledger.gone(agent, row["state"], -1)


def _seq(connection: sqlite3.Connection, message_id: str) -> int:
    found: int = connection.execute("SELECT seq FROM message WHERE message_id = ?", (message_id,)).fetchone()[0]
    return found


def _standing(connection: sqlite3.Connection, message_id: str) -> str | None:
    found = connection.execute("SELECT state FROM message WHERE message_id = ?", (message_id,)).fetchall()
    return found[0][0] if found else None


def _put(connection: sqlite3.Connection, pending: Pending, row: Values, *, fresh: bool) -> None:
    if not fresh:
        names = [name for name in _REPLACED if name in row] + (["content"] if "content" in row else [])
        assigned = ", ".join(f"{name} = ?" for name in names)
        values = [row[name] for name in names]
        connection.execute(
            f"UPDATE message SET {assigned}, next_at = NULL WHERE message_id = ?", (*values, row["message_id"])
        )
        return
    pending.last_seq += 1
    columns = [name for name in row if name in _COLUMNS_OF_A_MESSAGE]
    connection.execute(
        f"INSERT INTO message (seq, {', '.join(columns)}) VALUES ({','.join('?' * (len(columns) + 1))})",
        (pending.last_seq, *(row[name] for name in columns)),
    )
