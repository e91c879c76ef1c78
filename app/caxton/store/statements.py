"""Multi-row statements in a few fixed sizes, so that SQLite prepares each of them once.

Owns how many rows go into one statement. Must never know a table. Each `execute` gives up the GIL once:
with a row a statement the writer would fight the event loop for it thousands of times a second.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

CHUNKS: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Powers of two: n rows take as few statements as n has binary digits, and each may wait for the GIL."""
CACHED_STATEMENTS: Final = 512
Values = Sequence[Any]
"""One row's SQL values: str, bytes, int, float or None."""


class MultiRow:
    """`before (?, …), (?, …) after`, executed for any number of rows of `width` values."""

    def __init__(self, before: str, width: int, after: str = "", *, scalar: bool = False) -> None:
        row = "?" if scalar else "(" + ",".join("?" * width) + ")"
        self._sql = {size: f"{before} {','.join([row] * size)} {after}" for size in CHUNKS}

    def execute(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> int:
        """Executes for all rows, in order; returns how many rows changed."""
        changed = start = 0
        for size in CHUNKS:
            while len(rows) - start >= size:
                part = rows[start : start + size]
                changed += connection.execute(self._sql[size], list(chain.from_iterable(part))).rowcount
                start += size
        return changed

    def select(self, connection: sqlite3.Connection, rows: Iterable[Values]) -> list[tuple[Any, ...]]:
        """The rows found for all of `rows`."""
        given, found, start = list(rows), [], 0
        for size in CHUNKS:
            while len(given) - start >= size:
                part = given[start : start + size]
                found += connection.execute(self._sql[size], list(chain.from_iterable(part))).fetchall()
                start += size
        return found


def insert(table: str, columns: Sequence[str], conflict: str = "") -> MultiRow:
    """`INSERT INTO table (columns) VALUES …` with a conflict clause."""
    return MultiRow(f"INSERT INTO {table} ({','.join(columns)}) VALUES", len(columns), conflict)
