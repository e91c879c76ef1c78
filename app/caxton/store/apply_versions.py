"""Versions and rollouts of a transaction.

Owns the writes to their tables. Must never commit.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from caxton.store.statements import insert
from caxton.store.version_rows import RolloutRow, VersionRow

_encode: Final = msgspec.json.Encoder().encode
_VERSION: Final = insert(
    "agent_version",
    ("agent", "version", "document"),
    "ON CONFLICT (agent, version) DO UPDATE SET document = excluded.document",
)
_ROLLOUT: Final = insert(
    "rollout", ("agent", "document"), "ON CONFLICT (agent) DO UPDATE SET document = excluded.document"
)


def write_versions(connection: sqlite3.Connection, versions: list[VersionRow]) -> None:
    """Adds versions; of a known one only what a rollout found out changes."""
    _VERSION.execute(connection, [(row.name, row.version, _encode(row)) for row in versions])


def remove_versions(connection: sqlite3.Connection, versions: list[tuple[str, int]]) -> None:
    """Forgets versions: agent and number."""
    connection.executemany("DELETE FROM agent_version WHERE agent = ? AND version = ?", versions)


def write_rollouts(connection: sqlite3.Connection, rollouts: list[RolloutRow]) -> None:
    """Each agent's latest rollout."""
    _ROLLOUT.execute(connection, [(row.name, _encode(row)) for row in rollouts])
