"""Connections to the database file and their PRAGMAs.

Owns how SQLite is opened. Must never read or write a table.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import peewee as pw

from caxton.protocol.errors import CaxtonError, Code
from caxton.store.statements import CACHED_STATEMENTS

BUSY_TIMEOUT_SECONDS: Final = 10.0
_WRITER_CACHE_KIB: Final = 64 * 1024
_READER_CACHE_KIB: Final = 8 * 1024
_MMAP_BYTES: Final = 256 * 1024 * 1024
_WAL_KEEP_BYTES: Final = 64 * 1024 * 1024
_TOUCH: Final = "SELECT 1 FROM sqlite_master LIMIT 1"
JOURNAL_MODES: Final = ("WAL", "DELETE", "TRUNCATE", "PERSIST")
SYNCHRONOUS: Final = ("FULL", "NORMAL", "EXTRA", "OFF")


def open_peewee(database: Path, journal_mode: str = "WAL", synchronous: str = "FULL") -> pw.SqliteDatabase:
    """The database for the writer and for migrations; creates the file. The caller closes it."""
    _require("journal_mode", journal_mode, JOURNAL_MODES)
    _require("synchronous", synchronous, SYNCHRONOUS)
    return pw.SqliteDatabase(
        str(database),
        timeout=BUSY_TIMEOUT_SECONDS,
        thread_safe=False,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
        pragmas={
            "journal_mode": journal_mode,
            "synchronous": synchronous,
            "foreign_keys": 1,
            "busy_timeout": int(BUSY_TIMEOUT_SECONDS * 1000),
            "cache_size": -_WRITER_CACHE_KIB,
            "mmap_size": _MMAP_BYTES,
            "journal_size_limit": _WAL_KEEP_BYTES,
            "temp_store": 2,
            "wal_autocheckpoint": 0,
        },
    )


def open_reader(database: Path) -> sqlite3.Connection:
    """A connection that can only read. It may be closed from another thread.

    What a process that was killed left half done in a rollback journal is rolled back first, which only a
    connection that may write can do. `sqlite3.Error` when the file is no database, or may not be read.
    """
    connection = _connect_reader(database)
    try:
        connection.execute(_TOUCH)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            connection.close()
            raise
        connection.close()
        _roll_back(database)
        connection = _connect_reader(database)
    except sqlite3.Error:
        connection.close()
        raise
    connection.execute("PRAGMA query_only = 1")
    connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
    connection.execute(f"PRAGMA mmap_size = {_MMAP_BYTES}")
    return connection


def _roll_back(database: Path) -> None:
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_SECONDS)
    try:
        connection.execute(_TOUCH)
    finally:
        connection.close()


def _connect_reader(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_SECONDS,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )


def _require(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value.upper() not in allowed:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"coordination.{key}: {value!r} is not one of {', '.join(allowed)}",
            path=f"coordination.{key}",
            expected=list(allowed),
        )


def storage_error(error: Exception) -> CaxtonError:
    """What a failed transaction means: `STORAGE_FULL` when the disk refused, else `INTERNAL_ERROR`."""
    code = getattr(error, "sqlite_errorcode", None)
    refused = isinstance(error, sqlite3.Error) and code is not None and (code & 0xFF) in _DISK_REFUSED
    if refused or isinstance(error, OSError):
        return CaxtonError(Code.STORAGE_FULL, f"the disk refused a write: {error}; free space, then restart")
    return CaxtonError(Code.INTERNAL_ERROR, f"a transaction failed: {type(error).__name__}: {error}")


_DISK_REFUSED: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def raw(handle: pw.SqliteDatabase) -> sqlite3.Connection:
    """The connection below peewee, in autocommit: statements run as they are written."""
    connection: sqlite3.Connection = handle.connection()  # type: ignore[no-untyped-call]  # peewee has no types
    return connection
