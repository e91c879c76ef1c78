"""Everything of a transaction that is not a message: agents, keys, timers, jobs, logs, executions, API keys.

Owns the writes to those tables. Must never commit, or touch the ledger.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from caxton.store import apply_supervision, transitions
from caxton.store.apply_snapshots import TABLES as SNAPSHOT_TABLES
from caxton.store.rows import AgentRow, ApiKeyRow, ExecutionRow, JobRow, LogRow, RevokedTokenRow
from caxton.store.statements import MultiRow, insert

encode_json: Final = msgspec.json.Encoder().encode

_AGENT: Final = insert(
    "agent",
    ("name", "document", "incarnation", "next_timer_id"),
    "ON CONFLICT (name) DO UPDATE SET document = excluded.document, "
    "incarnation = max(incarnation, excluded.incarnation), "
    "next_timer_id = max(next_timer_id, excluded.next_timer_id)",
)
_KEY: Final = insert(
    "key_value", ("agent", "key", "value"), "ON CONFLICT (agent, key) DO UPDATE SET value = excluded.value"
)
_KEY_DELETE: Final = MultiRow("DELETE FROM key_value WHERE (agent, key) IN (VALUES", 2, ")")
_TIMER: Final = insert(
    "timer", ("agent", "timer_id", "due"), "ON CONFLICT (agent, timer_id) DO UPDATE SET due = excluded.due"
)
_TIMER_DELETE: Final = MultiRow("DELETE FROM timer WHERE (agent, timer_id) IN (VALUES", 2, ")")
_JOB: Final = insert(
    "job",
    ("job_id", "state", "created_at", "finished_at", "document"),
    "ON CONFLICT (job_id) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at, "
    "document = excluded.document",
)
_LOG: Final = insert("log_line", ("seq", "agent", "at", "stream", "text", "message_id"))
EXECUTION_COLUMNS: Final = (
    "id", "agent", "message_id", "at", "status", "duration_seconds", "cpu_seconds", "peak_memory_bytes",
    "code", "fuel",
)  # fmt: skip
_EXECUTION: Final = insert("execution", EXECUTION_COLUMNS)
API_KEY_COLUMNS: Final = (
    "key_id", "subject", "salt", "digest", "created_at", "expires_at", "revoked_at", "role", "namespace", "agents",
)  # fmt: skip
_API_KEY: Final = insert(
    "api_key",
    API_KEY_COLUMNS,
    "ON CONFLICT (key_id) DO UPDATE SET expires_at = excluded.expires_at, revoked_at = excluded.revoked_at",
)
_REVOKED_TOKEN: Final = insert("revoked_token", ("jti", "revoked_at", "expires_at"), "ON CONFLICT (jti) DO NOTHING")
_TOKEN_MARGIN: Final = 3_600.0
"""Seconds for which an ended token may still be taken somewhere: more than any leeway."""
_OF_AN_AGENT: Final = ("agent WHERE name", "key_value WHERE agent", "timer WHERE agent", "log_line WHERE agent",
                       "execution WHERE agent", "agent_version WHERE agent", "rollout WHERE agent",
                       "subscription WHERE agent",
                       *(f"{table} WHERE agent" for table in SNAPSHOT_TABLES))  # fmt: skip


def write_agents(connection: sqlite3.Connection, agents: list[AgentRow]) -> None:
    """Adds agents, or replaces what is known of them; notes what they became."""
    _AGENT.execute(connection, [(row.name, encode_json(row), row.incarnation, row.next_timer_id) for row in agents])
    transitions.note(connection, agents)


def remove_agents(connection: sqlite3.Connection, names: list[str]) -> None:
    """Deletes agents with their keys, timers, versions, logs, executions and snapshots."""
    for name in names:
        for place in _OF_AN_AGENT:
            connection.execute(f"DELETE FROM {place} = ?", (name,))
        apply_supervision.remove(connection, name)
        transitions.removed(connection, name)


def write_incarnations(connection: sqlite3.Connection, incarnations: dict[str, int]) -> None:
    """Keeps the number of each agent's newest instance."""
    for name, number in incarnations.items():
        connection.execute("UPDATE agent SET incarnation = max(incarnation, ?) WHERE name = ?", (number, name))


def write_keys(connection: sqlite3.Connection, keys: dict[tuple[str, str], bytes | None]) -> None:
    """Stores keys; None deletes."""
    _KEY.execute(connection, [(*place, value) for place, value in keys.items() if value is not None])
    _KEY_DELETE.execute(connection, [place for place, value in keys.items() if value is None])


def write_timers(connection: sqlite3.Connection, timers: dict[tuple[str, int], float | None]) -> None:
    """Sets timers; None clears. Numbers that were given are never given again."""
    _TIMER.execute(connection, [(*place, due) for place, due in timers.items() if due is not None])
    _TIMER_DELETE.execute(connection, [place for place, due in timers.items() if due is None])
    highest: dict[str, int] = {}
    for agent, timer_id in timers:
        highest[agent] = max(highest.get(agent, 0), timer_id)
    for agent, timer_id in highest.items():
        connection.execute(
            "UPDATE agent SET next_timer_id = max(next_timer_id, ?) WHERE name = ?", (timer_id + 1, agent)
        )


def write_jobs(connection: sqlite3.Connection, jobs: list[JobRow]) -> None:
    """Adds jobs, or replaces what is known of them."""
    _JOB.execute(
        connection, [(job.job_id, job.state, job.created_at, job.finished_at, encode_json(job)) for job in jobs]
    )


def write_logs(connection: sqlite3.Connection, first_seq: int, logs: list[LogRow]) -> None:
    """Appends log lines, numbered from `first_seq`."""
    _LOG.execute(
        connection,
        [(seq, row.agent, row.at, row.stream, row.text, row.message_id) for seq, row in enumerate(logs, first_seq)],
    )


def write_executions(connection: sqlite3.Connection, executions: list[ExecutionRow]) -> None:
    """Appends executions."""
    _EXECUTION.execute(connection, [msgspec.structs.astuple(row) for row in executions])


def write_api_keys(connection: sqlite3.Connection, keys: list[ApiKeyRow]) -> None:
    """Adds API keys; of a known one only expiry and revocation change."""
    _API_KEY.execute(connection, [msgspec.structs.astuple(row) for row in keys])


def revoke_tokens(connection: sqlite3.Connection, tokens: list[RevokedTokenRow]) -> None:
    """Adds revoked tokens, and forgets those that had ended when the first of these was revoked."""
    if tokens:
        connection.execute("DELETE FROM revoked_token WHERE expires_at < ?", (tokens[0].revoked_at - _TOKEN_MARGIN,))
        _REVOKED_TOKEN.execute(connection, [msgspec.structs.astuple(row) for row in tokens])
