"""Which of a writer's changes are still in force, in their order.

Owns that list. Must never hold a record: it names them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator

Key = tuple[str, str]
"""Kind and name."""


class WriterIndex:
    """Changes of one writer, by `hlc`. What another change replaced is passed over, and let go now and then."""

    __slots__ = ("_entries", "_replaced")

    def __init__(self) -> None:
        self._entries: list[tuple[int, Key]] = []
        self._replaced = 0

    def add(self, hlc: int, key: Key) -> None:
        """Mostly at the end: a writer's changes come about in their order."""
        insort(self._entries, (hlc, key))

    def replaced(self) -> bool:
        """One more is replaced; True when it is time to call `compact`."""
        self._replaced += 1
        return self._replaced > 16 and self._replaced * 2 > len(self._entries)

    def compact(self, in_force: Iterator[tuple[int, Key]]) -> None:
        """Only these are left."""
        self._entries = sorted(in_force)
        self._replaced = 0

    @property
    def latest(self) -> int:
        """Of all its changes here, replaced ones too."""
        return self._entries[-1][0] if self._entries else 0

    def after(self, hlc: int) -> Iterator[tuple[int, Key]]:
        """Those later than `hlc`, replaced ones among them."""
        entries = self._entries
        for position in range(bisect_right(entries, hlc, key=lambda entry: entry[0]), len(entries)):
            yield entries[position]

    def __iter__(self) -> Iterator[tuple[int, Key]]:
        return iter(self._entries)
