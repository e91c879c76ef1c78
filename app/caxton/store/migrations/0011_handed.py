"""Schema 11: messages that came with their agent from its old home. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
ALTER TABLE "message" ADD COLUMN "handed" INTEGER;
CREATE INDEX "message_handed" ON "message" ("seq", "receiver") WHERE state = 'pending' AND handed = 1"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds a column that an older release leaves alone, and its index."""
    for statement in UP.split(";\n"):
        db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
