"""Recordings of executions: `data/recordings/<agent>/<execution>`, the newest of every agent.

Owns the directory and its bounds. Files and not rows: they are large, a lost one loses no message, and the database's
commits must not wait for them. Must never be waited for by an execution, nor hold one that a guest waits for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.recordings import MAX_PACKED_BYTES

FOLDER: Final = "recordings"
MAX_COUNT: Final = 1_000
MAX_BYTES: Final = 4 * MAX_PACKED_BYTES
"""Of one agent, both; what is older goes. One recording alone may take a quarter of it."""
WAITING: Final = 256
WAITING_BYTES: Final = MAX_BYTES
"""What may wait for the disk, both; what comes on top is dropped."""
_ID: Final = re.compile(r"[0-9a-f]{12}-[0-9a-f]{1,16}")
log = logging.getLogger(__name__)


_T = TypeVar("_T")
_About = TypeVar("_About", str, float)
Packed = tuple[str, str, bytes]
"""Agent, execution, recording."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One file: its size, and when it was written in seconds since the epoch."""

    bytes: int
    at: float


class Recordings:
    """Writes in a thread of its own; when that cannot keep up, recordings are dropped and counted."""

    def __init__(self, data: Path, max_count: int = MAX_COUNT, max_bytes: int = MAX_BYTES) -> None:
        self._root = data / FOLDER
        self._max_count, self._max_bytes = max_count, max_bytes
        self._kept: dict[str, OrderedDict[str, Kept]] = {}
        self._bytes: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self._next: list[Packed] = []
        self._writing = 0
        self._waiting = self._waiting_bytes = 0
        self.counts = Counter({"kept": 0, "dropped": 0})
        self.bytes = 0
        """Of those that were kept, since the router started; older ones may have made room for them."""
        self._thread.submit(self._find)

    def keep(self, agent: str, execution: str, recording: bytes) -> None:
        """Takes a packed recording; it is on disk a little later, without a promise."""
        size = len(recording)
        too_many = self._waiting >= WAITING or self._waiting_bytes + size > WAITING_BYTES
        if too_many or size > self._max_bytes // 4:
            self.counts["dropped"] += 1
            return
        self._waiting += 1
        self._waiting_bytes += size
        self._next.append((agent, execution, recording))
        if not self._writing:  # else it goes with what comes until then: waking the thread costs as much as a file
            self._begin()

    def close(self) -> None:
        """Writes what was taken, then ends."""
        self._begin()
        self._thread.shutdown()

    async def get(self, execution: str) -> bytes:
        """One packed recording, or `NOT_FOUND`."""
        return await self._ask(self._read, execution)

    async def names(self, agent: str) -> list[tuple[str, Kept]]:
        """Executions of an agent that have a recording, newest first."""
        return await self._ask(self._newest, agent)

    async def expire(self, before: float) -> int:
        """Forgets what was written before a time (seconds since the epoch); how many."""
        return await self._ask(self._expire, before)

    def forget(self, agent: str) -> None:
        """The agent is gone, and so is what it was told."""
        self._begin()
        self._thread.submit(self._remove, agent)

    def figures(self) -> dict[str, Any]:
        """For /metrics."""
        return {"counts": dict(self.counts), "bytes": self.bytes}

    async def _ask(self, what: Callable[[_About], _T], about: _About) -> _T:
        """Of all that was taken until now."""
        self._begin()
        return await asyncio.get_running_loop().run_in_executor(self._thread, what, about)

    def _begin(self) -> None:
        """Has the thread write what waits."""
        taken, self._next = self._next, []
        if taken:
            self._writing += 1
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._write_all, taken)
            work.add_done_callback(partial(self._written, taken))

    def _written(self, taken: list[Packed], work: asyncio.Future[list[Exception | None]]) -> None:
        self._writing -= 1
        self._waiting -= len(taken)
        self._waiting_bytes -= sum(len(recording) for *_, recording in taken)
        if work.cancelled():
            return
        for (*_, recording), problem in zip(taken, work.result(), strict=True):
            self.counts["kept" if problem is None else "dropped"] += 1
            if problem is None:
                self.bytes += len(recording)
            else:
                log.warning("a recording could not be kept: %s: %s", type(problem).__name__, problem)
        self._begin()

    # ---- in the thread

    def _folder(self, agent: str) -> Path:
        return self._root / agent.replace("/", "%")

    def _find(self) -> None:
        """What an earlier life has left."""
        for folder in _entries(self._root):
            self._of(folder.name.replace("%", "/"))

    def _of(self, agent: str) -> OrderedDict[str, Kept]:
        found = self._kept.get(agent)
        if found is None:
            files = []
            for each in _entries(self._folder(agent)):
                with suppress(FileNotFoundError):
                    state = each.stat()
                    files.append((state.st_mtime_ns, each.name, Kept(state.st_size, state.st_mtime)))
            found = OrderedDict((name, kept) for _, name, kept in sorted(files, key=lambda one: one[:2]))
            self._kept[agent] = found
            self._bytes[agent] = sum(kept.bytes for kept in found.values())
        return found

    def _write_all(self, taken: list[Packed]) -> list[Exception | None]:
        """What went wrong with each, if anything."""
        problems: list[Exception | None] = []
        for one in taken:
            try:
                self._write(*one)
                problems.append(None)
            except Exception as problem:  # whatever it is, the rest of the batch must not be lost with it
                problems.append(problem)
        return problems

    def _write(self, agent: str, execution: str, recording: bytes) -> None:
        kept, folder = self._of(agent), self._folder(agent)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / f".{execution}"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(recording)
            temporary.replace(folder / execution)
        except Exception:
            temporary.unlink(missing_ok=True)
            raise
        self._drop(agent, execution)
        kept[execution] = Kept(len(recording), time.time())
        self._bytes[agent] += len(recording)
        while len(kept) > self._max_count or self._bytes[agent] > self._max_bytes:
            self._unlink(agent, next(iter(kept)))

    def _drop(self, agent: str, execution: str) -> None:
        gone = self._kept[agent].pop(execution, None)
        if gone is not None:
            self._bytes[agent] -= gone.bytes

    def _unlink(self, agent: str, execution: str) -> None:
        self._drop(agent, execution)
        (self._folder(agent) / execution).unlink(missing_ok=True)

    def _read(self, execution: str) -> bytes:
        if _ID.fullmatch(execution):
            for folder in _entries(self._root):
                with suppress(FileNotFoundError, NotADirectoryError):
                    return Path(folder.path, execution).read_bytes()
        raise CaxtonError(
            Code.NOT_FOUND,
            f"no recording of an execution {execution[:64]!r}: it was not recorded, or newer ones took its place",
            execution=execution[:64],
        )

    def _newest(self, agent: str) -> list[tuple[str, Kept]]:
        return list(reversed(self._of(agent).items()))

    def _expire(self, before: float) -> int:
        count = 0
        for agent, kept in list(self._kept.items()):
            for execution in [name for name, one in kept.items() if one.at < before]:
                self._unlink(agent, execution)
                count += 1
        return count

    def _remove(self, agent: str) -> None:
        self._kept.pop(agent, None)
        self._bytes.pop(agent, None)
        shutil.rmtree(self._folder(agent), ignore_errors=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [each for each in found if not each.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
