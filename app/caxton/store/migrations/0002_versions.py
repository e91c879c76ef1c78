"""Schema 2: versions of agents, and how one is put in the place of another. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "agent_version" (
    "agent" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "document" BLOB NOT NULL,
    PRIMARY KEY ("agent", "version")
);
CREATE TABLE "rollout" (
    "agent" TEXT NOT NULL PRIMARY KEY,
    "document" BLOB NOT NULL
);
INSERT INTO "agent_version" ("agent", "version", "document")
    SELECT "name", json_extract(CAST("document" AS TEXT), '$.version'), "document" FROM "agent";
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Creates the tables; what is deployed is the first version that is kept."""
    for statement in UP.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
