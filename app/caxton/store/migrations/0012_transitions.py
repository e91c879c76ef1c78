"""Schema 12: what became of every agent, step by step. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "agent_transition" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "agent" TEXT NOT NULL,
    "agent_id" TEXT NOT NULL,
    "at" REAL NOT NULL,
    "version" INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    "reason" TEXT
);
CREATE INDEX "agent_transition_agent" ON "agent_transition" ("agent", "seq")"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds a table that an older release leaves alone."""
    for statement in UP.split(";\n"):
        db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
