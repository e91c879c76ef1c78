"""The one writer of an audit: appends records, durable when it returns, and goes on after a crash.

Owns the current file, the head, and the repair of a last line that was torn. Must never change a whole line, nor be
used by two threads at once; that no second process writes is the data directory's lock's business.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from caxton.audit import files
from caxton.audit.reading import BrokenLineError, last_record, torn_bytes
from caxton.audit.record import GENESIS, Draft, write_line
from caxton.protocol.audit import OK, Actor, Head, Phase
from caxton.telemetry.text import timestamp

FILE_BYTES: Final = 8_000_000
NOBODY: Final = Actor("caxton", "node")
"""The node itself is the actor."""
REPAIRED: Final = "audit.repaired"
DAMAGED: Final = "audit.damaged"
TRUNCATED: Final = "audit.truncated"


class Log:
    """An audit that is open for writing. `faults`: what was wrong when it was opened, as records say it too."""

    def __init__(
        self, directory: Path, node: str, *, file_bytes: int = FILE_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        """Opens it, or begins one. `OSError` when that cannot be written."""
        self._clock = clock
        self.directory, self.node = directory, node
        self.head = Head(0, GENESIS)
        self.faults: list[str] = []
        self._file_bytes = file_bytes
        self._descriptor = -1
        self._number, self._size, self._day = 1, 0, ""
        self._torn = False
        files.make_directory(directory)
        notes = self._find_end()
        if notes:
            self.append(notes)

    @property
    def current(self) -> Path:
        """The file that records go to."""
        return files.path_of(self.directory, self._number)

    def append(self, drafts: Sequence[Draft]) -> list[Head]:
        """Records in this order, on disk when it returns; their places. All or none: none with `OSError`."""
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
            self._begin_again()
        return self._append(drafts)

    def close(self) -> None:
        """Ends writing; the records are on disk already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, drafts: Sequence[Draft]) -> list[Head]:
        if self._torn:
            self._take_back()
        now = timestamp(self._clock())
        self._rotate(now[:10])
        after, heads, data = self.head, [], []
        for draft in drafts:
            line, after = write_line(draft, after, now, self.node)
            data.append(line)
            heads.append(after)
        whole = b"".join(data)
        try:
            files.write_all(self._open(), whole)
        except OSError:
            with suppress(OSError):  # what cannot be taken back now is before the next record is written
                self._take_back()
            raise
        self.head, self._size = after, self._size + len(whole)
        with suppress(OSError):  # it is on disk all the same; a head that lags is none that lies
            files.write_head(self.directory, after)
        return heads

    def _open(self) -> int:
        if self._descriptor < 0:
            self._descriptor = files.open_append(self.current)
            self._size = os.fstat(self._descriptor).st_size
        return self._descriptor

    def _rotate(self, today: str) -> None:
        """A new file for a new day, or after one that is large enough."""
        if self._size and (self._size >= self._file_bytes or self._day != today):
            self.close()
            self._number, self._size = self._number + 1, 0
        self._day = today

    def _take_back(self) -> None:
        """Nothing that was not acknowledged stays, and what comes next begins on a line of its own."""
        self._torn = self._descriptor >= 0
        if self._torn:
            os.ftruncate(self._descriptor, self._size)
            self._torn = False

    def _begin_again(self) -> None:
        """Somebody removed the file under us: what it held is gone, and the gap stays to be seen."""
        gone = self.current.name
        self.close()
        files.make_directory(self.directory)
        self._number, self._size = self._number + 1, 0
        self._append([self._note(DAMAGED, "the file was removed while it was written", file=gone)])

    def _find_end(self) -> list[Draft]:
        """Where the chain goes on; what has to be said about its end."""
        found = files.listed(self.directory)
        notes = []
        while found:
            path = found[-1]
            self._number = files.number_of(path) or 1
            if torn := torn_bytes(path):
                notes.append(self._cut(path, torn))
            try:
                record = last_record(path)
            except BrokenLineError as error:
                notes.append(self._step_over(path, error))
                break
            if record is not None:
                self.head = Head(record.seq, record.hash)
                self._size, self._day = path.stat().st_size, record.time[:10]
                break
            found.pop()  # empty: made just before a crash
        noted = files.read_head(self.directory)
        if noted is not None and noted.seq > self.head.seq:
            notes.append(
                self._note(TRUNCATED, "records are missing at the end", noted=str(noted), found=str(self.head))
            )
        return notes

    def _cut(self, path: Path, torn: bytes) -> Draft:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(torn))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        digest = hashlib.sha256(torn).hexdigest()
        details = {"file": path.name, "torn_bytes": len(torn), "torn_sha256": digest}
        return Draft(REPAIRED, Phase.EVENT, NOBODY, outcome=OK, details=details)

    def _step_over(self, path: Path, error: BrokenLineError) -> Draft:
        """The end of the chain cannot be read: it goes on in a new file, and no check will pass over the gap."""
        self._number, self._size = self._number + 1, 0
        noted = files.read_head(self.directory)
        if noted is not None:
            self.head = noted
        return self._note(DAMAGED, f"the last line is broken: {error}", file=path.name)

    def _note(self, action: str, fault: str, **details: str) -> Draft:
        self.faults.append(f"{fault} ({', '.join(details.values())})")
        return Draft(action, Phase.EVENT, NOBODY, outcome="failed", details={"fault": fault, **details})
