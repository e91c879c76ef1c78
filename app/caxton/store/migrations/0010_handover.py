"""Schema 10: homes of agents that move between nodes. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "handover" (
    "agent" TEXT NOT NULL,
    "side" TEXT NOT NULL,
    "attempt" INTEGER NOT NULL,
    "document" BLOB NOT NULL,
    PRIMARY KEY ("agent", "side")
);
CREATE TABLE "handover_page" (
    "agent" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "document" BLOB NOT NULL,
    PRIMARY KEY ("agent", "number")
)"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds two tables."""
    for statement in UP.split(";\n"):
        db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
