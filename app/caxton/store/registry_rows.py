"""This node's copy of the cluster's registry: its tables, how they are written and read.

Owns this SQL. Must never look into a body, nor decide which of two records stays: the one that is written last does,
and the copy in memory, which decides, is changed and written in one order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import peewee as pw

from caxton.protocol.peers import Record, Seen
from caxton.store.model_base import Table
from caxton.store.statements import insert

FIELDS: Final = frozenset({"registry", "registry_removed", "registry_seen"})
_RECORD: Final = insert(
    "registry",
    ("kind", "name", "hlc", "writer", "body"),
    "ON CONFLICT (kind, name) DO UPDATE SET hlc = excluded.hlc, writer = excluded.writer, body = excluded.body",
)
_SEEN: Final = insert(
    "registry_writer",
    ("writer", "upto", "collected"),
    "ON CONFLICT (writer) DO UPDATE SET upto = excluded.upto, collected = excluded.collected",
)


class Registry(Table):
    """The latest record of everything; without `body` a tombstone."""

    kind = pw.TextField()
    name = pw.TextField()
    hlc = pw.BigIntegerField()
    writer = pw.TextField()
    body = pw.BlobField(null=True)

    class Meta:  # noqa: D106  # where peewee wants options
        primary_key = pw.CompositeKey("kind", "name")


class RegistryWriter(Table):
    """How far each writer's changes are known here, and its last tombstone that was let go."""

    writer = pw.TextField(primary_key=True)
    upto = pw.BigIntegerField()
    collected = pw.BigIntegerField()

    class Meta:  # noqa: D106  # where peewee wants options
        without_rowid = True


class RegistryReader:
    """Mixed into `Reader`, which brings the connection."""

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def registry(self) -> list[Record]:
        """All records, tombstones too."""
        return [Record(*row) for row in self._all("SELECT kind, name, hlc, writer, body FROM registry")]

    def registry_seen(self) -> list[Seen]:
        """How far each writer is known."""
        return [Seen(*row) for row in self._all("SELECT writer, upto, collected FROM registry_writer")]


def write(connection: sqlite3.Connection, used: dict[str, Any]) -> None:
    """The registry's part of one `Changes`, by its attributes that were used."""
    connection.executemany("DELETE FROM registry WHERE kind = ? AND name = ?", used.get("registry_removed", ()))
    _RECORD.execute(connection, [msgspec.structs.astuple(record) for record in used.get("registry", ())])
    _SEEN.execute(connection, [msgspec.structs.astuple(row) for row in used.get("registry_seen", ())])
