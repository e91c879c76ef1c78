"""Agents' secrets at rest: only ciphertext is here.

Owns their rows, how they are read and written. Must never see a plain value, or commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import peewee as pw

from caxton.store.model_base import Table
from caxton.store.statements import insert

COLUMNS: Final = ("name", "key_id", "nonce", "ciphertext", "created_at", "updated_at", "version")
FIELDS: Final = frozenset({"secrets", "secrets_removed"})
_SECRET: Final = insert(
    "secret",
    COLUMNS,
    "ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, nonce = excluded.nonce, "
    "ciphertext = excluded.ciphertext, updated_at = excluded.updated_at, version = excluded.version",
)


class Secret(Table):
    """Secrets by name. `key_id` says which key of the node encrypted them."""

    name = pw.TextField(primary_key=True)
    key_id = pw.TextField()
    nonce = pw.BlobField()
    ciphertext = pw.BlobField()
    created_at = pw.DoubleField()
    updated_at = pw.DoubleField()
    version = pw.IntegerField()

    class Meta:  # noqa: D106  # where peewee wants options
        without_rowid = True


class SecretRow(msgspec.Struct, frozen=True):
    """One secret, encrypted. Times in seconds since the epoch."""

    name: str
    key_id: str
    nonce: bytes
    ciphertext: bytes
    created_at: float
    updated_at: float
    version: int


class SecretReader:
    """Mixed into `Reader`, which brings the connection."""

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def secrets(self) -> list[SecretRow]:
        """All of them."""
        return [SecretRow(*row) for row in self._all(f"SELECT {', '.join(COLUMNS)} FROM secret")]


def write(connection: sqlite3.Connection, used: dict[str, Any]) -> None:
    """The secrets of one `Changes`, by its attributes that were used."""
    _SECRET.execute(connection, [msgspec.structs.astuple(row) for row in used.get("secrets", ())])
    names = [(name,) for name in used.get("secrets_removed", ())]
    connection.executemany("DELETE FROM secret WHERE name = ?", names)


def keys_of_secrets(connection: sqlite3.Connection) -> dict[str, int]:
    """How many secrets each key has encrypted; an older database has none."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'secret'")
    if found.fetchone() is None:
        return {}
    return dict(connection.execute("SELECT key_id, count(*) FROM secret GROUP BY key_id ORDER BY key_id").fetchall())
