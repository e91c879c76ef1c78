"""The scratch directory's beginning and end.

Owns the emptying of a directory that a guest has filled. Must never follow a link, and must neither
recurse nor hold a descriptor for each level: the guest chose how deep it is.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare(path: Path) -> None:
    """Makes `path` an empty directory that only this user may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    empty(path)


def remove(path: Path) -> None:
    """Removes `path` and all that is in it; nothing happens when it is already gone."""
    try:
        empty(path)
        path.rmdir()
    except FileNotFoundError:
        pass


def empty(path: Path) -> None:
    """Removes all that is in `path`. A nested directory is first moved to the top, so depth costs nothing."""
    root = os.open(path, _DIRECTORY)
    try:
        numbers = count()
        while pending := [name for name in os.listdir(root) if not _unlink(root, name)]:
            for name in pending:
                _flatten(root, name, numbers)
    finally:
        os.close(root)


def _flatten(root: int, name: str, numbers: count[int]) -> None:
    """Empties the directory `name` into `root` and removes it."""
    directory = os.open(name, _DIRECTORY, dir_fd=root)
    try:
        for child in os.listdir(directory):
            if not _unlink(directory, child):
                os.rename(child, _unused(root, numbers), src_dir_fd=directory, dst_dir_fd=root)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=root)


def _unused(root: int, numbers: count[int]) -> str:
    while True:
        name = f".removed-{next(numbers)}"
        try:
            os.lstat(name, dir_fd=root)
        except FileNotFoundError:
            return name


def _unlink(directory: int, name: str) -> bool:
    """Removes what is no directory; False for a directory."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True
