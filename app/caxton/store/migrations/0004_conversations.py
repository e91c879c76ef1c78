"""Schema 4: conversations that are checked, capabilities, topics, tasks. Once released it must never change."""

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE TABLE "conversation" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "conversation_id" TEXT NOT NULL,
    "protocol" TEXT NOT NULL,
    "initiator" TEXT NOT NULL,
    "participant" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "message_id" TEXT NOT NULL,
    "reply_with" TEXT,
    "deadline" REAL,
    "started_at" REAL NOT NULL,
    "updated_at" REAL NOT NULL,
    "ended_at" REAL,
    "steps" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "conversation_parties" ON "conversation"
    ("conversation_id", "protocol", "initiator", "participant");
CREATE INDEX "conversation_deadline" ON "conversation" ("deadline") WHERE deadline IS NOT NULL;
CREATE INDEX "conversation_ended" ON "conversation" ("ended_at") WHERE ended_at IS NOT NULL;
CREATE TABLE "capability" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "document" BLOB NOT NULL
);
CREATE TABLE "capability_choice" (
    "conversation_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "agent" TEXT NOT NULL,
    "at" REAL NOT NULL,
    PRIMARY KEY ("conversation_id", "name")
) WITHOUT ROWID;
CREATE INDEX "capability_choice_at" ON "capability_choice" ("at");
CREATE TABLE "subscription" (
    "topic" TEXT NOT NULL,
    "agent" TEXT NOT NULL,
    "at" REAL NOT NULL,
    PRIMARY KEY ("topic", "agent")
) WITHOUT ROWID;
CREATE INDEX "subscription_agent" ON "subscription" ("agent");
CREATE TABLE "task" (
    "seq" INTEGER NOT NULL PRIMARY KEY,
    "task_id" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "capability" TEXT NOT NULL,
    "finished_at" REAL,
    "document" BLOB NOT NULL
);
CREATE UNIQUE INDEX "task_task_id" ON "task" ("task_id");
CREATE INDEX "task_open" ON "task" ("seq") WHERE finished_at IS NULL;
CREATE INDEX "task_finished" ON "task" ("finished_at") WHERE finished_at IS NOT NULL;
CREATE TABLE "bid" (
    "task_id" TEXT NOT NULL,
    "agent" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "at" REAL NOT NULL,
    "value" REAL,
    "content" BLOB,
    PRIMARY KEY ("task_id", "agent")
) WITHOUT ROWID;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Creates the tables; nothing that was there changes."""
    for statement in UP.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)  # type: ignore[no-untyped-call]  # peewee has no types
