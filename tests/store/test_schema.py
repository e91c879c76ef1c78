"""Schema versions: the head equals the models, data survives, newer databases are refused."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import peewee as pw
import pytest
from store.world import accept, commit, message

from caxton.protocol.errors import CaxtonError, Code
from caxton.store import SCHEMA_VERSION, Changes, Store, db_status, db_upgrade, schema
from caxton.store.models import MODELS


def shape(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'schema_migration'"
    )
    return {re.sub(r"\s+", " ", row[0]).replace("( ", "(").replace(" )", ")").replace(" ,", ",") for row in rows}


def edit(database: Path, *statements: str) -> None:
    connection = sqlite3.connect(database)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A later release: its migrations directory, with one more step to be written by the test."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    for path in schema.MIGRATIONS.glob("[0-9]*.py"):
        (directory / path.name).write_text(path.read_text())
    monkeypatch.setattr(schema, "MIGRATIONS", directory)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    return directory / f"{SCHEMA_VERSION + 1:04}_next.py"


def test_the_newest_migration_leads_to_the_models(database: Path) -> None:
    db_upgrade(database)
    migrated = sqlite3.connect(database)
    modelled = pw.SqliteDatabase(":memory:")
    with modelled.bind_ctx(MODELS):
        modelled.create_tables(MODELS, safe=False)
    assert shape(migrated) == shape(modelled.connection())
    migrated.close()
    modelled.close()


def test_the_schema_version_is_the_number_of_the_newest_migration() -> None:
    newest = max(path.stem for path in schema.MIGRATIONS.glob("[0-9]*.py"))
    assert int(newest.split("_")[0]) == SCHEMA_VERSION


def test_a_missing_database_is_created_and_current(database: Path) -> None:
    assert db_status(database).version == 0
    assert not database.exists()
    store = Store.open(database)
    assert store.reader.schema_version() == SCHEMA_VERSION
    store.close()
    status = db_status(database)
    assert (status.version, status.pending, status.current) == (SCHEMA_VERSION, [], True)
    assert db_upgrade(database) == []


def test_an_older_database_waits_for_the_upgrade_and_keeps_its_data(database: Path, migrations: Path) -> None:
    migrations.write_text("")
    one = message()
    with pytest.MonkeyPatch.context() as before:
        before.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION)
        before.setattr(schema, "MIGRATIONS", Path(schema.__file__).parent / "migrations")
        store = Store.open(database)
        commit(store, Changes(accept=[accept(one)]))
        store.close()
    migrations.write_text(
        "def up(migrator, db):\n    db.execute_sql(\"ALTER TABLE message ADD COLUMN colour TEXT DEFAULT 'red'\")\n"
    )
    with pytest.raises(CaxtonError) as refused:
        Store.open(database)
    assert refused.value.code == Code.NOT_READY
    assert db_status(database).pending == [migrations.stem]
    assert db_upgrade(database) == [migrations.stem]
    store = Store.open(database)
    row = store.reader.message(one.message_id)
    assert row is not None
    assert row.message == one
    assert store.reader.schema_version() == SCHEMA_VERSION + 1
    store.close()


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('half way')",
        "db.execute_sql('INSERT INTO attempt VALUES (999, 1, 1.0, ?, NULL, NULL, 0.0)', ('X',))",
    ],
    ids=["raises", "breaks a reference"],
)
def test_a_failed_migration_leaves_everything_as_it_was(database: Path, migrations: Path, body: str) -> None:
    with pytest.MonkeyPatch.context() as before:
        before.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION)
        before.setattr(schema, "MIGRATIONS", Path(schema.__file__).parent / "migrations")
        Store.open(database).close()
    connection = sqlite3.connect(database)
    old = shape(connection)
    migrations.write_text(
        f"def up(migrator, db):\n    db.execute_sql('ALTER TABLE message ADD COLUMN colour TEXT')\n    {body}\n"
    )
    with pytest.raises(CaxtonError) as failed:
        db_upgrade(database)
    assert failed.value.code == Code.INTERNAL_ERROR
    assert shape(connection) == old
    connection.close()
    assert db_status(database).version == SCHEMA_VERSION


def test_a_newer_database_is_refused_and_untouched(database: Path) -> None:
    Store.open(database).close()
    edit(database, "UPDATE schema_info SET version = 99, compat = 98")
    content = database.read_bytes()
    for refuse in (Store.open, db_upgrade):
        with pytest.raises(CaxtonError) as refused:
            refuse(database)
        assert refused.value.code == Code.SCHEMA_TOO_NEW
        assert refused.value.details["needs"] == 98
    assert database.read_bytes() == content


def test_a_newer_database_that_is_compatible_opens(database: Path) -> None:
    Store.open(database).close()
    edit(
        database,
        "UPDATE schema_info SET version = 99",
        "ALTER TABLE message ADD COLUMN colour TEXT",
        "INSERT INTO schema_migration (name, applied) VALUES ('0099_colour', '2030-01-01 00:00:00')",
    )
    store = Store.open(database)
    one = message()
    assert commit(store, Changes(accept=[accept(one)])).error is None
    assert store.reader.message(one.message_id) is not None
    store.close()
    assert db_status(database).version == 99


def test_a_file_that_is_no_database_is_refused(database: Path) -> None:
    database.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CaxtonError) as refused:
        Store.open(database)
    assert refused.value.code == Code.INTERNAL_ERROR


@pytest.mark.parametrize(("key", "value"), [("journal_mode", "FAST"), ("synchronous", "MAYBE")])
def test_a_wrong_mode_is_refused_with_its_key(database: Path, key: str, value: str) -> None:
    with pytest.raises(CaxtonError) as refused:
        Store.open(database, **{key: value})  # type: ignore[arg-type]
    assert refused.value.code == Code.CONFIG_INVALID
    assert refused.value.details["path"] == f"coordination.{key}"


def test_writes_are_synced_by_default(store: Store) -> None:
    connection = store.writer._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_the_modes_are_those_that_were_asked_for(database: Path) -> None:
    store = Store.open(database, journal_mode="TRUNCATE", synchronous="EXTRA")
    try:
        connection = store.writer._connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    finally:
        store.close()


HALF_DONE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the commit
connection.execute("BEGIN")
connection.execute("UPDATE schema_info SET version = 77")
connection.execute("CREATE TABLE half (done)")
for _ in range(200):
    connection.execute("INSERT INTO half VALUES (?)", ("x" * 3000,))
os._exit(9)
"""


def test_what_a_killed_process_left_half_done_is_rolled_back_by_whoever_looks_first(database: Path) -> None:
    db_upgrade(database)
    subprocess.run([sys.executable, "-c", HALF_DONE, str(database)], check=False, timeout=60)
    assert database.with_name(f"{database.name}-journal").stat().st_size > 0
    assert db_status(database).version == SCHEMA_VERSION
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


def test_a_file_that_is_no_database_is_named(database: Path) -> None:
    database.write_bytes(b"no database at all" * 100)
    with pytest.raises(CaxtonError) as refused:
        db_status(database)
    assert refused.value.code is Code.INTERNAL_ERROR
    assert str(database) in refused.value.message
