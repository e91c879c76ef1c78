"""How the database file is doing: sizes, free disk, integrity.

Owns measurements only. Must never change anything.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from caxton.store.connect import open_reader
from caxton.store.retention import used_bytes
from caxton.store.rows import Sizes


def sqlite_version() -> str:
    """Of the library that is at work."""
    return sqlite3.sqlite_version


def disk_free(path: Path) -> int:
    """Bytes that this user may still write on the file system of `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def sizes(connection: sqlite3.Connection, database: Path) -> Sizes:
    """Bytes on disk now."""
    return Sizes(
        database=_size(database),
        wal=_size(database.with_name(database.name + "-wal")),
        used=used_bytes(connection),
        disk_free=disk_free(database.parent),
    )


def integrity_check(database: Path) -> list[str]:
    """What is wrong with the file, empty when nothing is. Reads all of it: seconds for gigabytes."""
    try:
        connection = open_reader(database)
    except sqlite3.Error as error:
        return [str(error)]
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.close()
    return [line for line in found if line != "ok"] + [f"{row[0]} row {row[1]} refers to nothing" for row in broken]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
