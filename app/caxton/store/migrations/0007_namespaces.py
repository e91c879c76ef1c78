"""Schema 7: quotas of namespaces. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "namespace" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "document" BLOB NOT NULL
)
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds a table."""
    db.execute_sql(UP)  # type: ignore[no-untyped-call]  # peewee has no types
