"""Schema 8: agents' secrets, encrypted. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "secret" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "key_id" TEXT NOT NULL,
    "nonce" BLOB NOT NULL,
    "ciphertext" BLOB NOT NULL,
    "created_at" REAL NOT NULL,
    "updated_at" REAL NOT NULL,
    "version" INTEGER NOT NULL
) WITHOUT ROWID"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds one table."""
    db.execute_sql(UP)  # type: ignore[no-untyped-call]  # peewee has no types
