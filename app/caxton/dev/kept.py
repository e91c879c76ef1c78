"""What lasts from one message to the next: an agent's keys, and its memory where it has snapshots.

Owns both, in memory; a node has a database for them. Must never keep anything of an execution that failed.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol.errors import Code
from caxton.protocol.execution import Result
from caxton.protocol.snapshots import BLOCK_BYTES, PART_BYTES, Image, Snapshot

_BLOCKS_A_PART: Final = PART_BYTES // BLOCK_BYTES


class Kept:
    """`state_bytes`: what all keys together may take."""

    def __init__(self, state_bytes: int) -> None:
        self._limit = state_bytes
        self._keys: dict[str, bytes] = {}
        self._blocks: dict[int, bytes] = {}
        self._last: tuple[Snapshot, int] | None = None

    def load(self, key: str) -> bytes | None:
        """A key's value."""
        return self._keys.get(key)

    def part(self, number: int) -> Image | None:
        """One part of the memory as the last execution left it; None where nothing was captured."""
        if self._last is None:
            return None
        snapshot, incarnation = self._last
        first = number * _BLOCKS_A_PART
        blocks = [(at, block) for at, block in self._blocks.items() if first <= at < first + _BLOCKS_A_PART]
        return Image(incarnation, snapshot.memory_bytes, snapshot.globals, b"", blocks)

    def commit(self, result: Result) -> str | None:
        """Keeps what an execution changed; or says why not its keys, when all together would be too large."""
        if result.snapshot is not None:
            if result.snapshot.whole:
                self._blocks.clear()
            self._blocks.update(result.snapshot.blocks)
            self._last = (result.snapshot, result.incarnation)
        if result.status != "ok" or not result.writes:
            return None
        after = dict(self._keys)
        for key, value in result.writes:
            if value is None:
                after.pop(key, None)
            else:
                after[key] = value
        if sum(len(key.encode()) + len(value) for key, value in after.items()) > self._limit:
            return f"{Code.RESOURCE_LIMIT_EXCEEDED}: the keys would take more than {self._limit} bytes"
        self._keys = after
        return None
