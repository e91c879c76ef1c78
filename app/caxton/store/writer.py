"""The single writer: one thread that turns many submissions into one durable transaction.

Owns when a transaction begins and ends. Must never look into what it writes. After a failed commit nothing
is written any more: what came later must not become true without what came before.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.store.apply import Applier
from caxton.store.changes import Changes, CommitResult
from caxton.store.checkpoint import PAGES_BETWEEN, PAGES_PER_COMMIT, PAGES_PER_ROW, Checkpointer, checkpoint
from caxton.store.connect import open_peewee, raw, storage_error
from caxton.store.retention import Sweeper
from caxton.store.rows import Retention, Swept

Done = Callable[[CommitResult], None]
Answers = list[tuple[Done, CommitResult]]
Sweep = tuple[Retention, float, Callable[[Swept], None]]
IDLE_SECONDS: Final = 0.2
"""Quiet time after which the log is moved into the database file."""
_MANY: Final = 4_096
"""Submissions that go into one transaction at most."""


class Writer:
    """Takes changes from any thread; answers on its own thread after the fsync.

    `deliver`, when set, gets all answers of one commit in one call instead of `done(result)` being called for
    each: an event loop is then woken once a commit. Callbacks must be quick and must not raise.
    """

    def __init__(self, database: Path, *, journal_mode: str, synchronous: str, commit_window: float) -> None:
        self._handle = open_peewee(database, journal_mode, synchronous)
        self._handle.connect()
        self._connection = raw(self._handle)
        self._applier = Applier(self._connection)
        self._sweeper = Sweeper(self._connection)
        self._checkpointer = Checkpointer(database, journal_mode, synchronous)
        self._window = commit_window
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._wanted = 1
        self._queue: list[tuple[Changes, Done]] = []
        self._sweeps: list[Sweep] = []
        self._closing = False
        self.deliver: Callable[[Answers], None] | None = None
        self.failed: CaxtonError | None = None
        self.commits = 0
        self.took: Callable[[float], None] = lambda seconds: None
        """Is told how long each of them took, on the writer's thread; must be quick and must not raise."""
        self._pages_at_checkpoint = 0.0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, changes: Changes, done: Done) -> None:
        """Makes `changes` true, all or nothing, with whatever else is submitted meanwhile; then `done`."""
        with self._lock:
            refused = self.failed or (_CLOSED if self._closing else None)
            if refused is None:
                self._queue.append((changes, done))
                if len(self._queue) >= self._wanted:
                    self._wake.set()
        if refused is not None:
            self._answer([(done, CommitResult(error=refused))])

    def sweep(self, policy: Retention, now: float, done: Callable[[Swept], None]) -> None:
        """Forgets one slice of what `policy` lets go; then `done` (call again while `more`)."""
        with self._lock:
            refused = self.failed or (_CLOSED if self._closing else None)
            if refused is None:
                self._sweeps.append((policy, now, done))
                self._wake.set()
        if refused is not None:
            done(Swept(error=refused))

    def close(self) -> None:
        """Commits what was submitted, ends the thread, closes the database."""
        with self._lock:
            self._closing = True
            self._wake.set()
        self._thread.join()
        self._checkpointer.close()
        try:
            checkpoint(self._connection)
        except sqlite3.Error:
            pass  # the log holds everything and is read at the next start
        self._handle.close()

    # ---- the writer thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch, sweeps = self._take()
            if batch:
                self._commit(batch)
            for policy, now, done in sweeps:
                done(self._sweep(policy, now))
            if not batch and not sweeps and self._closing:
                return
            self._linger(len(batch))
            self._keep_log_short()

    def _take(self) -> tuple[list[tuple[Changes, Done]], list[Sweep]]:
        if not self._wake.wait(IDLE_SECONDS):
            self._move_log()
            self._wake.wait()
        with self._lock:
            self._wanted = 1
            batch, self._queue = self._queue[:_MANY], self._queue[_MANY:]
            sweeps, self._sweeps = self._sweeps, []
            if not self._queue and not self._closing:
                self._wake.clear()
        return batch, sweeps

    def _commit(self, batch: list[tuple[Changes, Done]]) -> None:
        started = time.perf_counter()
        if self.failed is None:
            try:
                results = self._transaction([changes for changes, _ in batch])
            except Exception as error:  # whatever it is: nothing of the batch is true, and all must hear it
                self._fail(error)
        if self.failed is not None:
            results = [CommitResult(error=self.failed)] * len(batch)
        self.commits += 1
        self.took(time.perf_counter() - started)
        self._answer([(done, result) for (_, done), result in zip(batch, results, strict=True)])

    def _transaction(self, batch: list[Changes]) -> list[CommitResult]:
        self._connection.execute("BEGIN IMMEDIATE")
        results = self._applier.apply(batch)
        self._connection.execute("COMMIT")
        return results

    def _sweep(self, policy: Retention, now: float) -> Swept:
        if self.failed is None:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                swept = self._sweeper.sweep(policy, now)
                self._connection.execute("COMMIT")
            except Exception as error:  # as for a commit
                self._fail(error)
            else:
                return swept
        return Swept(error=self.failed)

    def _fail(self, error: Exception) -> None:
        failed = storage_error(error)
        failed.__cause__ = error
        with self._lock:
            self.failed = failed
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled back by itself

    def _answer(self, answers: Answers) -> None:
        if self.deliver is not None:
            self.deliver(answers)
            return
        for done, result in answers:
            done(result)

    def _linger(self, last: int) -> None:
        """Waits, at most the window, for about as many submissions as the last commit had.

        Only after a commit that several shared: a lone submitter never waits.
        """
        if last < 2 or self._window <= 0 or self._closing:
            return
        with self._lock:
            if len(self._queue) >= last or self._sweeps or self._closing:
                return
            self._wanted = min(last, _MANY)
            self._wake.clear()
        self._wake.wait(self._window)
        with self._lock:
            if self._queue:
                self._wake.set()
            self._wanted = 1

    def _keep_log_short(self) -> None:
        if self._checkpointer.rest_is_due:
            self._checkpointer.rest_is_due = False
            try:
                checkpoint(self._connection)
            except sqlite3.Error as error:
                self._fail(error)
        elif self._pages_written() - self._pages_at_checkpoint > PAGES_BETWEEN:
            self._move_log()

    def _move_log(self) -> None:
        written = self._pages_written()
        if written != self._pages_at_checkpoint:
            self._pages_at_checkpoint = written
            self._checkpointer.request()

    def _pages_written(self) -> float:
        """About how many pages went into the log so far."""
        return self._connection.total_changes * PAGES_PER_ROW + self.commits * PAGES_PER_COMMIT


_CLOSED: Final = CaxtonError(Code.NOT_READY, "the store is closed")
