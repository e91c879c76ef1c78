"""Schema 1: the tables of the first release. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "agent" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "document" BLOB NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "next_timer_id" INTEGER NOT NULL
);
CREATE TABLE "api_key" (
    "key_id" TEXT NOT NULL PRIMARY KEY,
    "subject" TEXT NOT NULL,
    "salt" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    "created_at" REAL NOT NULL,
    "expires_at" REAL,
    "revoked_at" REAL
);
CREATE TABLE "attempt" (
    "message_seq" INTEGER NOT NULL,
    "number" INTEGER NOT NULL,
    "at" REAL NOT NULL,
    "code" TEXT NOT NULL,
    "detail" TEXT,
    "backtrace" TEXT,
    "duration_seconds" REAL NOT NULL,
    PRIMARY KEY ("message_seq", "number"),
    FOREIGN KEY ("message_seq") REFERENCES "message" ("seq") ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE "execution" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "id" TEXT NOT NULL,
    "agent" TEXT NOT NULL,
    "message_id" TEXT NOT NULL,
    "at" REAL NOT NULL,
    "status" TEXT NOT NULL,
    "duration_seconds" REAL NOT NULL,
    "cpu_seconds" REAL NOT NULL,
    "peak_memory_bytes" INTEGER NOT NULL,
    "code" TEXT,
    "fuel" INTEGER
);
CREATE INDEX "execution_agent" ON "execution" ("agent", "seq");
CREATE TABLE "job" (
    "job_id" TEXT NOT NULL PRIMARY KEY,
    "state" TEXT NOT NULL,
    "created_at" REAL NOT NULL,
    "finished_at" REAL,
    "document" BLOB NOT NULL
);
CREATE TABLE "key_value" (
    "agent" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "value" BLOB NOT NULL,
    PRIMARY KEY ("agent", "key")
);
CREATE TABLE "ledger" (
    "agent" TEXT NOT NULL PRIMARY KEY,
    "accepted" INTEGER NOT NULL,
    "done" INTEGER NOT NULL,
    "dead" INTEGER NOT NULL,
    "expired" INTEGER NOT NULL,
    "cancelled" INTEGER NOT NULL,
    "forwarded" INTEGER NOT NULL,
    "gone_done" INTEGER NOT NULL,
    "gone_dead" INTEGER NOT NULL,
    "gone_expired" INTEGER NOT NULL,
    "gone_cancelled" INTEGER NOT NULL,
    "gone_forwarded" INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE "log_line" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "agent" TEXT NOT NULL,
    "at" REAL NOT NULL,
    "stream" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "message_id" TEXT
);
CREATE INDEX "log_line_agent" ON "log_line" ("agent", "seq");
CREATE TABLE "message" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "message_id" TEXT NOT NULL,
    "receiver" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "performative" TEXT NOT NULL,
    "sender" TEXT NOT NULL,
    "conversation_id" TEXT NOT NULL,
    "priority" INTEGER NOT NULL,
    "reply_with" TEXT,
    "in_reply_to" TEXT,
    "reply_by" REAL,
    "protocol" TEXT,
    "ontology" TEXT,
    "language" TEXT,
    "traceparent" TEXT,
    "digest" BLOB NOT NULL,
    "delivery" TEXT NOT NULL,
    "accepted_at" REAL NOT NULL,
    "finished_at" REAL,
    "attempts" INTEGER NOT NULL,
    "next_at" REAL,
    "content" BLOB,
    "outcome" BLOB
);
CREATE INDEX "message_conversation" ON "message" ("conversation_id", "seq") WHERE conversation_id <> message_id;
CREATE INDEX "message_dead" ON "message" ("seq", "receiver") WHERE state = 'dead';
CREATE UNIQUE INDEX "message_message_id" ON "message" ("message_id");
CREATE INDEX "message_pending" ON "message" ("seq", "receiver") WHERE state = 'pending';
CREATE INDEX "message_receiver" ON "message" ("receiver", "seq");
CREATE TABLE "schema_info" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL,
    "compat" INTEGER NOT NULL
);
CREATE TABLE "timer" (
    "agent" TEXT NOT NULL,
    "timer_id" INTEGER NOT NULL,
    "due" REAL NOT NULL,
    PRIMARY KEY ("agent", "timer_id")
) WITHOUT ROWID;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Creates every table."""
    for statement in UP.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
