"""The counters of the ledger: collected during a transaction, written once at its end.

Owns the arithmetic of DESIGN.md, "Invariants". Must never be written outside the transaction that changes
the rows.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import State
from caxton.protocol.views import Counts
from caxton.store.rows import Mismatch
from caxton.store.statements import MultiRow

ENDS: Final = ("done", "dead", "expired", "cancelled", "forwarded")
_COLUMNS: Final = ("accepted", *ENDS, *(f"gone_{end}" for end in ENDS))
_PLACE: Final = {name: index for index, name in enumerate(_COLUMNS)}
_GONE: Final = {end: _PLACE[f"gone_{end}"] for end in ENDS}
_ADD: Final = MultiRow(
    f"INSERT INTO ledger (agent, {', '.join(_COLUMNS)}) VALUES",
    len(_COLUMNS) + 1,
    "ON CONFLICT (agent) DO UPDATE SET " + ", ".join(f"{name} = {name} + excluded.{name}" for name in _COLUMNS),
)


class LedgerDelta:
    """What one transaction adds to the counters."""

    def __init__(self) -> None:
        self._agents: dict[str, list[int]] = {}

    def _of(self, agent: str) -> list[int]:
        counts = self._agents.get(agent)
        if counts is None:
            counts = self._agents[agent] = [0] * len(_COLUMNS)
        return counts

    def accepted(self, agent: str) -> None:
        """One message entered."""
        self._of(agent)[0] += 1

    def settled(self, agent: str, state: str) -> None:
        """One message ended."""
        self._of(agent)[_PLACE[state]] += 1

    def revived(self, agent: str) -> None:
        """A dead letter is pending again: it no longer counts as dead."""
        self._of(agent)[_PLACE[State.DEAD]] -= 1

    def gone(self, agent: str, state: str, count: int) -> None:
        """`count` rows in `state` are deleted; their counters stay."""
        self._of(agent)[_GONE[state]] += count

    def departed(self, agent: str, count: int) -> None:
        """`count` dead letters went to the agent's new home."""
        mine = self._of(agent)
        mine[_PLACE[State.DEAD]] -= count
        mine[_PLACE[State.FORWARDED]] += count

    def unlisted(self, agent: str, counts: dict[str, int]) -> None:
        """Messages that never had a row; `INVALID_REQUEST` when they would not balance."""
        accepted = counts.get("accepted", 0)
        ended = sum(counts.get(end, 0) for end in ENDS)
        if accepted != ended or set(counts) - {"accepted", *ENDS}:
            raise CaxtonError(
                Code.INVALID_REQUEST,
                f"unlisted counts of {agent!r} do not balance: {counts}",
                path="unlisted",
                expected="accepted = done + dead + expired + cancelled + forwarded",
            )
        mine = self._of(agent)
        mine[0] += accepted
        for end in ENDS:
            mine[_PLACE[end]] += counts.get(end, 0)
            mine[_GONE[end]] += counts.get(end, 0)

    def write(self, connection: sqlite3.Connection) -> None:
        """Adds everything collected to the table."""
        if self._agents:
            _ADD.execute(connection, [(agent, *counts) for agent, counts in self._agents.items()])


def read_counts(connection: sqlite3.Connection) -> dict[str, Counts]:
    """The ledger of every agent, counters from the table and `pending` from the rows."""
    pending = dict(
        connection.execute(
            "SELECT receiver, count(*) FROM message WHERE state = 'pending' GROUP BY receiver"
        ).fetchall()
    )
    rows = connection.execute(f"SELECT agent, accepted, {', '.join(ENDS)} FROM ledger").fetchall()
    counts = {
        row[0]: Counts(
            accepted=row[1], done=row[2], dead=row[3], expired=row[4], cancelled=row[5], forwarded=row[6],
            pending=pending.pop(row[0], 0),
        )
        for row in rows
    }  # fmt: skip
    counts.update({agent: Counts(pending=count) for agent, count in pending.items()})
    return counts


def recount(connection: sqlite3.Connection) -> list[Mismatch]:
    """Compares every counter with the rows; reads the whole table, so not for the event loop."""
    rows: dict[tuple[str, str], int] = {
        (row[0], row[1]): row[2]
        for row in connection.execute("SELECT receiver, state, count(*) FROM message GROUP BY receiver, state")
    }
    ledger = {
        row[0]: dict(zip(_COLUMNS, row[1:], strict=True))
        for row in connection.execute(f"SELECT agent, {', '.join(_COLUMNS)} FROM ledger")
    }
    wrong = []
    for agent in sorted({agent for agent, _ in rows} | ledger.keys()):
        counters = ledger.get(agent, dict.fromkeys(_COLUMNS, 0))
        found = {end: rows.get((agent, end), 0) + counters[f"gone_{end}"] for end in ENDS}
        found["accepted"] = sum(found.values()) + rows.get((agent, "pending"), 0)
        wrong += [
            Mismatch(agent, name, counters[name], count) for name, count in found.items() if counters[name] != count
        ]
    return wrong
