"""Schema 5: held conversations, marks of schedules, outbound HTTP calls. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "held_conversation" (
    "agent" TEXT NOT NULL,
    "conversation_id" TEXT NOT NULL,
    "message_id" TEXT NOT NULL,
    "at" REAL NOT NULL,
    PRIMARY KEY ("agent", "conversation_id")
) WITHOUT ROWID;
CREATE TABLE "schedule_mark" (
    "agent" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "due" REAL NOT NULL,
    PRIMARY KEY ("agent", "name")
) WITHOUT ROWID;
CREATE TABLE "http_call" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "agent" TEXT NOT NULL,
    "execution_id" TEXT NOT NULL,
    "message_id" TEXT NOT NULL,
    "at" REAL NOT NULL,
    "method" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "duration_seconds" REAL NOT NULL,
    "request_bytes" INTEGER NOT NULL,
    "response_bytes" INTEGER NOT NULL,
    "redirects" INTEGER NOT NULL,
    "idempotency_key" TEXT NOT NULL,
    "status" INTEGER,
    "address" TEXT,
    "digest" TEXT,
    "error" TEXT
);
CREATE INDEX "http_call_agent" ON "http_call" ("agent", "seq");
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Adds three tables."""
    for statement in UP.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
