"""The store of one node: its writer and its readers behind one object.

Owns opening and closing. Must never be opened twice for writing: the caller holds the data directory's lock.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from caxton.protocol.errors import CaxtonError, Code
from caxton.store.reader import Reader
from caxton.store.schema import require_current
from caxton.store.writer import Writer


@dataclass(slots=True, frozen=True)
class Store:
    """An open database. `writer` takes changes, `reader` answers from any thread."""

    database: Path
    writer: Writer
    reader: Reader

    @classmethod
    def open(
        cls,
        database: Path,
        *,
        journal_mode: str = "WAL",
        synchronous: str = "FULL",
        commit_window: float = 0.002,
    ) -> Store:
        """Opens `database`, creating it when missing.

        Errors: `SCHEMA_TOO_NEW`, `NOT_READY` (migrations pending), `STORAGE_FULL`, `INTERNAL_ERROR` (not a database).
        """
        database.parent.mkdir(parents=True, exist_ok=True)
        require_current(database)
        try:
            writer = Writer(database, journal_mode=journal_mode, synchronous=synchronous, commit_window=commit_window)
        except sqlite3.Error as error:
            raise CaxtonError(Code.INTERNAL_ERROR, f"{database} cannot be opened: {error}") from error
        return cls(database, writer, Reader(database))

    def close(self) -> None:
        """Commits what was submitted and closes every connection."""
        self.writer.close()
        self.reader.close()
