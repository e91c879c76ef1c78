"""Homes that move: where each move stands, and the pages that came and are not the agent's state yet.

Owns these two tables, how they are read and written. Must never look into a page, nor decide a step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import peewee as pw

from caxton.protocol.handover import HandoverPage, HandoverRow, Side
from caxton.store.model_base import Table
from caxton.store.statements import insert

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_row: Final = msgspec.msgpack.Decoder(HandoverRow).decode
_decode_page: Final = msgspec.msgpack.Decoder(HandoverPage).decode
_ROW: Final = insert(
    "handover",
    ("agent", "side", "attempt", "document"),
    "ON CONFLICT (agent, side) DO UPDATE SET attempt = excluded.attempt, document = excluded.document",
)
_PAGE: Final = insert(
    "handover_page",
    ("agent", "number", "document"),
    "ON CONFLICT (agent, number) DO UPDATE SET document = excluded.document",
)


class Handover(Table):
    """Where the home of an agent stands that moves from or to this node. `document` = msgpack of `HandoverRow`."""

    agent = pw.TextField()
    side = pw.TextField()
    attempt = pw.IntegerField()
    document = pw.BlobField()

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("agent", "side")


class HandoverPageTable(Table):
    """State of an agent that comes here. `document` = msgpack of `HandoverPage`; gone when it is unpacked."""

    agent = pw.TextField()
    number = pw.IntegerField()
    document = pw.BlobField()

    class Meta:  # noqa: D106  # where peewee wants options
        table_name = "handover_page"
        primary_key = pw.CompositeKey("agent", "number")


class HandoverReader:
    """Mixed into `Reader`, which brings the connection."""

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def handovers(self) -> list[HandoverRow]:
        """Every move that is not over."""
        return [_decode_row(row[0]) for row in self._all("SELECT document FROM handover ORDER BY agent, side")]

    def arrived_pages(self, agent: str) -> list[int]:
        """The numbers of the pages that are here and not unpacked."""
        rows = self._all("SELECT number FROM handover_page WHERE agent = ? ORDER BY number", (agent,))
        return [int(row[0]) for row in rows]


def write(connection: sqlite3.Connection, rows: Sequence[HandoverRow]) -> None:
    """Where moves stand; the row before of an agent and side is replaced."""
    _ROW.execute(connection, [(row.agent, str(row.side), row.attempt, _encode(row)) for row in rows])


def end(connection: sqlite3.Connection, places: Sequence[tuple[str, Side]]) -> None:
    """These moves are over."""
    connection.executemany("DELETE FROM handover WHERE agent = ? AND side = ?", [(a, str(s)) for a, s in places])


def keep_pages(connection: sqlite3.Connection, pages: Sequence[HandoverPage]) -> None:
    """Keeps pages of attempts that are received; a page that comes again replaces itself."""
    _PAGE.execute(connection, [(page.agent, page.number, _encode(page)) for page in pages])


def drop_pages(connection: sqlite3.Connection, agents: Sequence[str]) -> None:
    """Forgets what came for earlier attempts."""
    connection.executemany("DELETE FROM handover_page WHERE agent = ?", [(agent,) for agent in agents])


def take_page(connection: sqlite3.Connection, agent: str, number: int) -> HandoverPage | None:
    """One page, which is not here any more; None when it was taken before."""
    row = connection.execute(
        "DELETE FROM handover_page WHERE agent = ? AND number = ? RETURNING document", (agent, number)
    ).fetchall()
    return _decode_page(row[0][0]) if row else None
