"""Schema 3: snapshots of agents. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "agent_snapshot" (
    "agent" TEXT NOT NULL PRIMARY KEY,
    "agent_id" TEXT NOT NULL,
    "module_sha256" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "generation" INTEGER NOT NULL,
    "taken_at" REAL NOT NULL,
    "memory_bytes" INTEGER NOT NULL,
    "globals" BLOB NOT NULL,
    "wakes" INTEGER NOT NULL,
    "known" INTEGER NOT NULL
);
CREATE TABLE "agent_snapshot_block" (
    "agent" TEXT NOT NULL,
    "block" INTEGER NOT NULL,
    "data" BLOB NOT NULL,
    PRIMARY KEY ("agent", "block")
);
CREATE TABLE "agent_snapshot_part" (
    "agent" TEXT NOT NULL,
    "part" INTEGER NOT NULL,
    "data" BLOB NOT NULL,
    PRIMARY KEY ("agent", "part")
);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Creates the tables."""
    for statement in UP.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
