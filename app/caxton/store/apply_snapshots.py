"""Snapshots of agents in a transaction: changed blocks, folded parts.

Owns the writes to those tables. A block is stored once, in place of the one before it, so that a snapshot never
takes more than twice its memory. Must never commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from caxton.protocol.snapshots import BLOCK_BYTES, PART_BYTES
from caxton.store.snapshot_rows import SnapshotFold, SnapshotRow
from caxton.store.statements import insert

TABLES: Final = ("agent_snapshot", "agent_snapshot_block", "agent_snapshot_part")
BLOCKS_OF_PART: Final = PART_BYTES // BLOCK_BYTES
_HEAD: Final = insert(
    "agent_snapshot",
    (
        "agent",
        "agent_id",
        "module_sha256",
        "incarnation",
        "generation",
        "taken_at",
        "memory_bytes",
        "globals",
        "wakes",
        "known",
    ),
    "ON CONFLICT (agent) DO UPDATE SET agent_id = excluded.agent_id, module_sha256 = excluded.module_sha256, "
    "incarnation = excluded.incarnation, generation = generation + 1, taken_at = excluded.taken_at, "
    "memory_bytes = excluded.memory_bytes, globals = excluded.globals, wakes = excluded.wakes, "
    "known = max(known, excluded.known)",
)
_BLOCK: Final = insert(
    "agent_snapshot_block",
    ("agent", "block", "data"),
    "ON CONFLICT (agent, block) DO UPDATE SET data = excluded.data",
)


def write_snapshots(connection: sqlite3.Connection, rows: Iterable[SnapshotRow]) -> None:
    """Writes what executions changed, in their order; of several in one transaction only the last state."""
    heads: dict[str, SnapshotRow] = {}
    blocks: dict[str, dict[int, bytes]] = {}
    for row in rows:
        heads[row.agent] = row
        if row.change.whole:
            _forget_memory(connection, row.agent)
            blocks[row.agent] = {}
        blocks.setdefault(row.agent, {}).update(row.change.blocks)
    _HEAD.execute(
        connection,
        [
            (row.agent, row.agent_id, row.module_sha256, row.incarnation, 1, row.taken_at, row.change.memory_bytes,
             row.change.globals, row.wakes, row.incarnation)
            for row in heads.values()
        ],
    )  # fmt: skip
    _BLOCK.execute(
        connection, [(agent, number, data) for agent, found in blocks.items() for number, data in found.items()]
    )


def fold_snapshots(connection: sqlite3.Connection, folds: Iterable[SnapshotFold]) -> None:
    """Puts folded parts in place of their blocks, unless the agent went on meanwhile."""
    for fold in folds:
        written = connection.execute(
            "INSERT INTO agent_snapshot_part (agent, part, data) SELECT agent, ?, ? FROM agent_snapshot "
            "WHERE agent = ? AND agent_id = ? AND generation = ? "
            "ON CONFLICT (agent, part) DO UPDATE SET data = excluded.data",
            (fold.part, fold.data, fold.agent, fold.agent_id, fold.generation),
        ).rowcount
        if written > 0:
            first = fold.part * BLOCKS_OF_PART
            connection.execute(
                "DELETE FROM agent_snapshot_block WHERE agent = ? AND block >= ? AND block < ?",
                (fold.agent, first, first + BLOCKS_OF_PART),
            )


def remove_snapshots(connection: sqlite3.Connection, agents: Iterable[str]) -> None:
    """Deletes the snapshots of agents."""
    for agent in agents:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table} WHERE agent = ?", (agent,))


def note_incarnations(connection: sqlite3.Connection, agents: Iterable[str]) -> None:
    """Whoever writes snapshots knows of these instances; an older release, which does not, leaves `known` behind."""
    for agent in agents:
        connection.execute(
            "UPDATE agent_snapshot SET known = (SELECT max(known, incarnation) FROM agent WHERE name = ?1) "
            "WHERE agent = ?1 AND EXISTS (SELECT 1 FROM agent WHERE name = ?1)",
            (agent,),
        )


def _forget_memory(connection: sqlite3.Connection, agent: str) -> None:
    for table in TABLES[1:]:
        connection.execute(f"DELETE FROM {table} WHERE agent = ?", (agent,))
