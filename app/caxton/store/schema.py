"""Schema versions: what this release writes, what it can read, and the way from one to the next.

Owns migrations and the refusal of databases that are too new. Must never migrate unasked: only a file
without tables gets its schema at once.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import peewee as pw
from playhouse.migrations import Runner

from caxton.protocol.errors import CaxtonError, Code
from caxton.store.connect import open_peewee, open_reader, raw

SCHEMA_VERSION: Final = 12
"""The number of the newest migration."""
COMPAT_VERSION: Final = 1
"""The oldest SCHEMA_VERSION of a release that can work with what this release writes."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_HISTORY: Final = "schema_migration"


class SchemaStatus(msgspec.Struct, frozen=True):
    """Where a database stands. `version` 0 = empty; `head` = what this release brings."""

    version: int
    compat: int
    head: int
    applied: list[str]
    pending: list[str]

    @property
    def current(self) -> bool:
        """Whether this release can work with the database as it is."""
        return not self.pending and self.compat <= self.head


def db_status(database: Path) -> SchemaStatus:
    """Where `database` stands; a missing file counts as empty. Changes nothing."""
    names = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
    if not database.exists():
        return SchemaStatus(0, 0, SCHEMA_VERSION, [], names)
    try:
        with closing(open_reader(database)) as connection:
            version, compat = _versions(connection)
            applied = _applied(connection)
    except sqlite3.DatabaseError as error:
        raise CaxtonError(Code.INTERNAL_ERROR, f"{database} cannot be read as a database: {error}") from error
    return SchemaStatus(version, compat, SCHEMA_VERSION, applied, [name for name in names if name not in applied])


def db_upgrade(database: Path) -> list[str]:
    """Applies every pending migration in one transaction; returns their names. `SCHEMA_TOO_NEW` is refused.

    No router may have the database open for writing. Nothing is changed when a migration or the check after it fails.
    """
    refuse_newer(database, db_status(database))
    handle = open_peewee(database)
    try:
        handle.connect()
        raw(handle).execute("PRAGMA foreign_keys = 0")  # tables may be rebuilt; checked below instead
        with handle.atomic("IMMEDIATE"):
            return _migrate(handle, database)
    except CaxtonError:
        raise
    except Exception as error:  # a migration is code: whatever it raised, the transaction is undone
        raise CaxtonError(
            Code.INTERNAL_ERROR, f"{database} was left as it was: {error}", database=str(database)
        ) from error
    finally:
        handle.close()


def require_current(database: Path) -> None:
    """Creates an empty database; refuses one that is too new (`SCHEMA_TOO_NEW`) or too old (`NOT_READY`)."""
    problem = schema_problem(database)
    if problem is not None:
        raise problem
    status = db_status(database)
    if status.version == 0 and not status.applied:
        db_upgrade(database)


def schema_problem(database: Path) -> CaxtonError | None:
    """Why this release cannot work with the database as it is: `SCHEMA_TOO_NEW`, `NOT_READY`, or None.

    Changes nothing. `INTERNAL_ERROR` is raised when it cannot be read.
    """
    status = db_status(database)
    newer = _too_new(database, status)
    if newer is not None or not status.pending or (status.version == 0 and not status.applied):
        return newer
    return CaxtonError(
        Code.NOT_READY,
        f"{database} has schema {status.version}, this release needs {status.head}: "
        "take a backup, then run `caxton db upgrade`; the node goes on by itself",
        database=str(database),
        found=status.version,
        expected=status.head,
    )


def refuse_newer(database: Path, status: SchemaStatus) -> None:
    """Refuses a database that only newer releases understand."""
    problem = _too_new(database, status)
    if problem is not None:
        raise problem


def _too_new(database: Path, status: SchemaStatus) -> CaxtonError | None:
    if status.compat > status.head:
        return CaxtonError(
            Code.SCHEMA_TOO_NEW,
            f"{database} was written by a newer release (schema {status.version}, needs at least {status.compat}; "
            f"this release knows {status.head}): install the newer release again, or restore the backup taken "
            "before the upgrade with `caxton restore FILE`",
            database=str(database),
            found=status.version,
            needs=status.compat,
            expected=status.head,
        )
    return None


def _migrate(handle: pw.SqliteDatabase, database: Path) -> list[str]:
    runner = Runner(handle, str(MIGRATIONS), _HISTORY)  # type: ignore[no-untyped-call]  # peewee has no types
    names: list[str] = runner.up()  # type: ignore[no-untyped-call]  # as above
    broken = raw(handle).execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise CaxtonError(
            Code.INTERNAL_ERROR, f"{database}: {len(broken)} rows lost what they refer to", database=str(database)
        )
    raw(handle).execute(
        "INSERT INTO schema_info (id, version, compat) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE "
        "SET version = max(version, excluded.version), compat = max(compat, excluded.compat)",
        (SCHEMA_VERSION, COMPAT_VERSION),
    )
    return names


def _versions(connection: sqlite3.Connection) -> tuple[int, int]:
    if not _has_table(connection, "schema_info"):
        return 0, 0
    row = connection.execute("SELECT version, compat FROM schema_info WHERE id = 1").fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _applied(connection: sqlite3.Connection) -> list[str]:
    if not _has_table(connection, _HISTORY):
        return []
    return [str(row[0]) for row in connection.execute(f"SELECT name FROM {_HISTORY} ORDER BY name")]


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
    return found is not None
