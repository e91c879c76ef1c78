"""Copies of the database: taken beside a node that writes, completed to backups, read again.

Owns the SQL of backups and of restores. Must never write to the database of a node that runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.views import Counts
from caxton.store.connect import open_reader, storage_error
from caxton.store.ledger import read_counts, recount
from caxton.store.rows import AgentRow
from caxton.store.secret_rows import keys_of_secrets
from caxton.store.version_rows import modules_of_versions

MODULES_TABLE: Final = "backup_modules"
MANIFEST_TABLE: Final = "backup_manifest"
_TABLES: Final = (MODULES_TABLE, MANIFEST_TABLE)
_ENDED: Final = ("done", "failed")
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _Order(msgspec.Struct):
    sha256: str | None = None


class _Job(msgspec.Struct):
    state: str
    result: Any = None


def copy_bytes(database: Path) -> int:
    """How large a copy of `database` will be."""
    with _reading(database) as connection:
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return pages * size


def copy_database(database: Path, target: Path) -> None:
    """Copies what is committed when it begins into the file `target`, which exists and is empty.

    In one step: one that pauses between pages starts over at every commit of another process and never ends
    beside a busy node. Readers do not stop the writer; its log only cannot start over meanwhile. Nothing is
    synced: a copy that a power cut damages is made again. Errors: `STORAGE_FULL`, `INTERNAL_ERROR`.
    """
    with _reading(database) as source:
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            source.backup(copy, pages=-1)
        except sqlite3.Error as error:
            raise storage_error(error) from error
        finally:
            copy.close()


def modules_needed(database: Path) -> set[str]:
    """SHA-256 of every module that an agent, one of its kept versions, or a job that has not ended, refers to."""
    with _reading(database) as connection:
        return _modules_needed(connection)


def fold_log(database: Path) -> bool:
    """Moves the write-ahead log into the file and removes it, so that the file alone is the database.

    The node must be stopped. False when there is no file, or it is too damaged for that. `CONFLICT` when another
    process has it open, `STORAGE_FULL` when the disk refuses.
    """
    if not database.is_file():
        return False
    try:
        connection = sqlite3.connect(database, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        finally:
            connection.close()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            return False
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise CaxtonError(Code.CONFLICT, f"another process has {database} open", path=str(database)) from error
        raise storage_error(error) from error
    return True


class Archive:
    """A copy that no node uses, with what makes it a backup: its modules and its manifest.

    Every method may raise `INTERNAL_ERROR` (the file is damaged) or, when it writes, `STORAGE_FULL`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Archive]:
        """Opens the file for reading and writing; it has no log, and a crash may leave it unusable."""
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = DELETE")
            yield cls(connection)
        except sqlite3.Error as error:
            raise storage_error(error) from error
        except msgspec.DecodeError as error:
            raise CaxtonError(
                Code.INTERNAL_ERROR, f"a row of {path} cannot be read: {error}", path=str(path)
            ) from error
        finally:
            connection.close()

    def modules_needed(self) -> set[str]:
        """As the function, for the copy."""
        return _modules_needed(self._connection)

    def make_room(self) -> None:
        """Creates the two tables of a backup."""
        self._connection.execute(f"CREATE TABLE {MODULES_TABLE} (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL)")
        self._connection.execute(
            f"CREATE TABLE {MANIFEST_TABLE} (id INTEGER PRIMARY KEY CHECK (id = 1), document BLOB NOT NULL)"
        )

    def add_module(self, sha256: str, content: bytes) -> None:
        """Adds the bytes of one module."""
        self._connection.execute(f"INSERT INTO {MODULES_TABLE} VALUES (?, ?)", (sha256, content))

    def set_manifest(self, document: bytes) -> None:
        """Adds the manifest."""
        self._connection.execute(f"INSERT INTO {MANIFEST_TABLE} VALUES (1, ?)", (document,))

    def manifest(self) -> bytes | None:
        """The manifest inside; None when this is no backup of ours."""
        if MANIFEST_TABLE not in self._tables():
            return None
        row = self._connection.execute(f"SELECT CAST(document AS BLOB) FROM {MANIFEST_TABLE}").fetchone()
        return bytes(row[0]) if row and row[0] is not None else None

    def modules(self) -> list[str]:
        """SHA-256 of every module inside."""
        return [str(row[0]) for row in self._connection.execute(f"SELECT sha256 FROM {MODULES_TABLE}")]

    def module(self, sha256: str) -> bytes:
        """The bytes of a module that is inside."""
        row = self._connection.execute(
            f"SELECT CAST(content AS BLOB) FROM {MODULES_TABLE} WHERE sha256 = ?", (sha256,)
        ).fetchone()
        return bytes(row[0]) if row and row[0] is not None else b""

    def rows(self) -> dict[str, int]:
        """How many rows each table of the node has."""
        names = sorted(self._tables() - set(_TABLES))
        return {name: self._connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}

    def ledger(self) -> dict[str, Counts]:
        """The ledger of every agent."""
        return read_counts(self._connection)

    def mismatches(self) -> list[str]:
        """Counters of the ledger that differ from the rows, as sentences."""
        return [
            f"{one.agent}: {one.what} is {one.counter}, the rows say {one.rows}" for one in recount(self._connection)
        ]

    def agents(self) -> list[AgentRow]:
        """Every deployed agent, by name."""
        decode = msgspec.json.Decoder(AgentRow).decode
        return [decode(row[0]) for row in self._connection.execute("SELECT document FROM agent ORDER BY name")]

    def keys_of_secrets(self) -> dict[str, int]:
        """How many secrets each key has encrypted."""
        return keys_of_secrets(self._connection)

    def pending(self) -> dict[str, int]:
        """How many messages of each agent have not ended, those that ran when the copy was taken included."""
        return dict(
            self._connection.execute(
                "SELECT receiver, count(*) FROM message WHERE state = 'pending' GROUP BY receiver ORDER BY receiver"
            ).fetchall()
        )

    def pending_ids(self, limit: int) -> list[tuple[str, str]]:
        """Receiver and id of the first `limit` of them, in the order of their acceptance."""
        return self._connection.execute(
            "SELECT receiver, message_id FROM message WHERE state = 'pending' ORDER BY seq LIMIT ?", (limit,)
        ).fetchall()

    def strip(self) -> None:
        """Removes what only a backup has; the pages are used again."""
        for table in _TABLES:
            self._connection.execute(f"DROP TABLE {table}")

    def _tables(self) -> set[str]:
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {str(row[0]) for row in found if not str(row[0]).startswith("sqlite_")}


def _modules_needed(connection: sqlite3.Connection) -> set[str]:
    decode_agent = msgspec.json.Decoder(AgentRow).decode
    decode_job = msgspec.json.Decoder(_Job).decode
    needed = {decode_agent(row[0]).module.sha256 for row in connection.execute("SELECT document FROM agent")}
    needed |= modules_of_versions(connection)
    for row in connection.execute(f"SELECT document FROM job WHERE state NOT IN {_ENDED}"):
        order = decode_job(row[0]).result
        if isinstance(order, dict) and isinstance(order.get("sha256"), str):
            needed.add(order["sha256"])
    return needed


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = open_reader(database)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise CaxtonError(
            Code.INTERNAL_ERROR, f"{database} cannot be read as a database: {error}", path=str(database)
        ) from error
