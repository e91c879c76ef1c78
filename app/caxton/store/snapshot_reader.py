"""Reading snapshots of agents.

Owns those queries. Must never write, nor decompress: whoever restores does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from caxton.store.apply_snapshots import BLOCKS_OF_PART
from caxton.store.snapshot_rows import SnapshotInfo, SnapshotPart

_COLUMNS = "agent, agent_id, module_sha256, incarnation, generation, taken_at, memory_bytes, globals, wakes, known"


class SnapshotReader:
    """Answers from any thread, through the connection that `connection()` gives to it."""

    def __init__(self, connection: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connection

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection().execute(query, values).fetchall()

    def infos(self) -> dict[str, SnapshotInfo]:
        """All snapshots by agent, without their sizes on disk."""
        return {row[0]: SnapshotInfo(*row) for row in self._all(f"SELECT {_COLUMNS} FROM agent_snapshot")}

    def stored_bytes(self, agent: str) -> int:
        """What an agent's memory takes on disk."""
        rows = self._all(
            "SELECT (SELECT coalesce(sum(length(data)), 0) FROM agent_snapshot_block WHERE agent = ?1) + "
            "(SELECT coalesce(sum(length(data)), 0) FROM agent_snapshot_part WHERE agent = ?1)",
            (agent,),
        )
        return int(rows[0][0])

    def part(self, agent: str, part: int) -> SnapshotPart | None:
        """One part of an agent's memory as it is in one state of the database; None: it has no snapshot."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            heads = self._all(f"SELECT {_COLUMNS} FROM agent_snapshot WHERE agent = ?", (agent,))
            if not heads:
                return None
            data = self._all("SELECT data FROM agent_snapshot_part WHERE agent = ? AND part = ?", (agent, part))
            blocks = self._all(
                "SELECT block, data FROM agent_snapshot_block WHERE agent = ? AND block >= ? AND block < ?",
                (agent, part * BLOCKS_OF_PART, (part + 1) * BLOCKS_OF_PART),
            )
        finally:
            connection.execute("COMMIT")
        return SnapshotPart(
            SnapshotInfo(*heads[0]), data[0][0] if data else b"", [(number, block) for number, block in blocks]
        )

    def unfolded_parts(self, agent: str) -> list[int]:
        """The parts of an agent's memory that have blocks in front of them."""
        rows = self._all(
            "SELECT DISTINCT block / ? FROM agent_snapshot_block WHERE agent = ? ORDER BY 1", (BLOCKS_OF_PART, agent)
        )
        return [int(row[0]) for row in rows]

    def unfolded(self) -> list[str]:
        """Agents whose snapshots have blocks."""
        return [str(row[0]) for row in self._all("SELECT DISTINCT agent FROM agent_snapshot_block")]
