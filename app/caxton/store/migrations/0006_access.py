"""Schema 6: roles of API keys, revoked tokens. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
ALTER TABLE "api_key" ADD COLUMN "role" TEXT;
ALTER TABLE "api_key" ADD COLUMN "namespace" TEXT;
ALTER TABLE "api_key" ADD COLUMN "agents" TEXT;
CREATE TABLE "revoked_token" (
    "jti" TEXT NOT NULL PRIMARY KEY,
    "revoked_at" REAL NOT NULL,
    "expires_at" REAL
);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds three columns, which are null in the keys of a release that knew no roles, and a table."""
    for statement in UP.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
