"""Namespaces: their quotas, and what they store.

Owns that table, and the sums over the others. Must never decide whether there is room.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from caxton.protocol.namespaces import Quota
from caxton.store.extent import bounds
from caxton.store.statements import insert

_WRITE: Final = insert(
    "namespace", ("name", "document"), "ON CONFLICT (name) DO UPDATE SET document = excluded.document"
)
_IN: Final = "agent >= ?1 AND agent < ?2"
_MAIL: Final = (
    "(SELECT coalesce(sum(length(content) + ?3), 0) FROM message INDEXED BY message_{state} "
    "WHERE state = '{state}' AND receiver >= ?1 AND receiver < ?2)"
)
_BYTES: Final = " + ".join(
    (
        _MAIL.format(state="pending"),
        _MAIL.format(state="dead"),
        f"(SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM key_value WHERE {_IN})",
        f"(SELECT coalesce(sum(length(data)), 0) FROM agent_snapshot_block WHERE {_IN})",
        f"(SELECT coalesce(sum(length(data)), 0) FROM agent_snapshot_part WHERE {_IN})",
    )
)
_decode: Final = msgspec.json.Decoder(Quota).decode


class NamespaceRow(msgspec.Struct, frozen=True):
    """A namespace with quotas; with None it has none any more."""

    name: str
    quota: Quota | None = None


class Namespaces:
    """Queries; a reader lends its connection (`ask`)."""

    def __init__(self, ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._ask = ask

    def all(self) -> list[NamespaceRow]:
        """Those with quotas, by name."""
        rows = self._ask("SELECT name, document FROM namespace ORDER BY name", ())
        return [NamespaceRow(row[0], _decode(row[1])) for row in rows]

    def stored_bytes(self, namespace: str, entry_bytes: int) -> int:
        """Bytes of waiting messages and dead letters (each with `entry_bytes` more), keys and snapshots.

        What is done is not counted: retention bounds it, for the node as a whole.
        """
        return int(self._ask(f"SELECT {_BYTES}", (*bounds(namespace), entry_bytes))[0][0])


def write(connection: sqlite3.Connection, rows: Sequence[NamespaceRow]) -> None:
    """Replaces quotas, or forgets them."""
    for row in rows:
        if row.quota is None:
            connection.execute("DELETE FROM namespace WHERE name = ?", (row.name,))
        else:
            _WRITE.execute(connection, [(row.name, msgspec.json.encode(row.quota))])
