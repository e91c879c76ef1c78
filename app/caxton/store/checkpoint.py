"""Moves committed pages from the write-ahead log into the database file, beside the writer.

Owns a thread and a connection of its own, so that a commit never waits for a long checkpoint. Must never
write rows. A checkpoint beside a busy writer never reaches the end of the log, and a log whose end is not
reached cannot start over: once the log is large, the writer is asked to do the small rest itself.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final

from caxton.store.connect import open_peewee, raw

PAGES_BETWEEN: Final = 10_000
"""Pages written, as estimated, after which a busy writer asks for a checkpoint."""
PAGES_PER_COMMIT: Final = 5
PAGES_PER_ROW: Final = 0.5
"""Measured: 0.8 pages for a message that is accepted and settled, 5 more for each commit."""
LARGE_LOG_PAGES: Final = 12_000
"""About 50 MB; a log starts over once all of it is in the database file and nobody reads it."""


def checkpoint(connection: sqlite3.Connection) -> int:
    """One passive checkpoint; returns how many pages the log had when it began."""
    return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


class Checkpointer:
    """The thread. `request()` never blocks; `rest_is_due` tells the writer to finish."""

    def __init__(self, database: Path, journal_mode: str, synchronous: str) -> None:
        self._handle = open_peewee(database, journal_mode, synchronous)
        self._handle.connect()
        self._wake = threading.Event()
        self._stop = False
        self.rest_is_due = False
        self.error: sqlite3.Error | None = None
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Asks for a checkpoint soon."""
        self._wake.set()

    def close(self) -> None:
        """Ends the thread after what it is doing."""
        self._stop = True
        self._wake.set()
        self._thread.join()
        self._handle.close()

    def _run(self) -> None:
        connection = raw(self._handle)
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stop:
                return
            try:
                self.rest_is_due = checkpoint(connection) > LARGE_LOG_PAGES
                self.error = None
            except sqlite3.Error as error:  # full disk, say: the log only grows; the writer notices by itself
                self.error = error
