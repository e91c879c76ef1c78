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
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from caxton.protocol.errors import CaxtonError, Code

FOLDER: Final = "recordings"
MAX_COUNT: Final = 1_000
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of one agent, both; what is older goes. One recording alone may take a quarter of it."""
_WAITING: Final = 256
_ID: Final = re.compile(r"[0-9a-f]{12}-[0-9a-f]{1,16}")
log = logging.getLogger(__name__)


class Recordings:
    """Writes in a thread of its own; when that cannot keep up, recordings are dropped and counted."""

    def __init__(self, data: Path) -> None:
        self._root = data / FOLDER
        self._kept: dict[str, OrderedDict[str, int]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self._waiting = 0
        self.counts = Counter({"kept": 0, "dropped": 0})
        self.bytes = 0
        """Of those that were kept, since the router started; older ones may have made room for them."""

    def keep(self, agent: str, execution: str, recording: bytes) -> None:
        """Takes a packed recording; it is on disk a little later, without a promise."""
        if self._waiting >= _WAITING or len(recording) > MAX_BYTES // 4:
            self.counts["dropped"] += 1
            return
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._write, agent, execution, recording)
        work.add_done_callback(partial(self._written, len(recording)))

    def close(self) -> None:
        """Writes what was taken, then ends."""
        self._thread.shutdown()

    async def get(self, execution: str) -> bytes:
        """One packed recording, or `NOT_FOUND`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, execution)

    async def names(self, agent: str) -> list[str]:
        """Executions of an agent that have a recording, newest first."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._newest, agent)

    def forget(self, agent: str) -> None:
        """The agent is gone, and so is what it was told."""
        self._thread.submit(self._remove, agent)

    def figures(self) -> dict[str, Any]:
        """For /metrics."""
        return {"counts": dict(self.counts), "bytes": self.bytes}

    def _written(self, size: int, work: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if work.cancelled():
            return
        problem = work.exception()
        self.counts["kept" if problem is None else "dropped"] += 1
        if problem is None:
            self.bytes += size
        else:
            log.warning("a recording could not be kept: %s", problem)

    # ---- in the thread

    def _folder(self, agent: str) -> Path:
        return self._root / agent.replace("/", "%")

    def _of(self, agent: str) -> OrderedDict[str, int]:
        found = self._kept.get(agent)
        if found is None:
            folder = self._folder(agent)
            files = [(each.stat().st_mtime_ns, each.name, each.stat().st_size) for each in _entries(folder)]
            found = self._kept[agent] = OrderedDict((name, size) for _, name, size in sorted(files))
        return found

    def _write(self, agent: str, execution: str, recording: bytes) -> None:
        kept, folder = self._of(agent), self._folder(agent)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / f".{execution}"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(recording)
        temporary.replace(folder / execution)
        kept[execution] = len(recording)
        while len(kept) > MAX_COUNT or sum(kept.values()) > MAX_BYTES:
            oldest, _ = kept.popitem(last=False)
            (folder / oldest).unlink(missing_ok=True)

    def _read(self, execution: str) -> bytes:
        if _ID.fullmatch(execution):
            for folder in _entries(self._root):
                with suppress(FileNotFoundError):
                    return Path(folder.path, execution).read_bytes()
        raise CaxtonError(
            Code.NOT_FOUND,
            f"no recording of an execution {execution[:64]!r}: it was not recorded, or newer ones took its place",
            execution=execution[:64],
        )

    def _newest(self, agent: str) -> list[str]:
        return list(reversed(self._of(agent)))

    def _remove(self, agent: str) -> None:
        self._kept.pop(agent, None)
        shutil.rmtree(self._folder(agent), ignore_errors=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [each for each in found if not each.name.startswith(".")]
    except FileNotFoundError:
        return []
