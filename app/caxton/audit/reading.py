"""Lines of the audit's files, in constant memory.

Owns where a line ends and how long it may be. Must never judge a record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from caxton.audit.record import MAX_LINE_BYTES, BrokenLineError, read_line
from caxton.protocol.audit import Record


def lines(path: Path) -> Iterator[bytes]:
    """Every line with its end; the last one may have none. A longer one than any record comes in pieces."""
    with path.open("rb", buffering=1 << 20) as file:
        while line := file.readline(MAX_LINE_BYTES):
            yield line


def last_line(path: Path) -> bytes | None:
    """The last line that has an end; None where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2 * MAX_LINE_BYTES))
        tail = file.read()
    whole = tail[: tail.rfind(b"\n") + 1]
    return whole[whole.rfind(b"\n", 0, -1) + 1 :] or None


def last_record(path: Path) -> Record | None:
    """The last whole record of a file; `BrokenLineError` where its last line is none; None of an empty file."""
    line = last_line(path)
    return None if line is None else read_line(line)


def torn_bytes(path: Path) -> bytes:
    """What follows the last end of a line: a write that was cut off."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4 * MAX_LINE_BYTES))
        tail = file.read()
    return tail[tail.rfind(b"\n") + 1 :]


__all__ = ["BrokenLineError", "last_line", "last_record", "lines", "torn_bytes"]
