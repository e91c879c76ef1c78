"""Schema 9: this node's copy of the cluster's registry. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "registry" (
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "hlc" INTEGER NOT NULL,
    "writer" TEXT NOT NULL,
    "body" BLOB,
    PRIMARY KEY ("kind", "name")
);
CREATE TABLE "registry_writer" (
    "writer" TEXT NOT NULL PRIMARY KEY,
    "upto" INTEGER NOT NULL,
    "collected" INTEGER NOT NULL
) WITHOUT ROWID"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds two tables."""
    for statement in UP.split(";"):
        db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
