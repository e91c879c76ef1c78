"""The files of an audit: `NNNNNN.jsonl`, one record a line, and `head`.

Owns names, modes (0700, 0600) and what makes bytes durable. Must never read a record.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from caxton.protocol.audit import Head

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
HEAD_FILE: Final = "head"
_NAME: Final = re.compile(r"([0-9]{6,12})\.jsonl")
_HEAD: Final = re.compile(r"\b([0-9]{1,18}):([0-9a-f]{64})\b")


def directory_of(data: Path) -> Path:
    """Where the audit of the node with this data directory is: beside its database, not in it."""
    return data / "audit"


def number_of(path: Path) -> int | None:
    """Which file of the audit this is; None = none."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def path_of(directory: Path, number: int) -> Path:
    """The file with this number."""
    return directory / f"{number:06d}.jsonl"


def listed(directory: Path) -> list[Path]:
    """The files of an audit, oldest first; a directory that is missing has none."""
    if not directory.is_dir():
        return []
    numbered = [(number, path) for path in directory.iterdir() if (number := number_of(path)) is not None]
    return [path for _, path in sorted(numbered)]


def make_directory(directory: Path) -> None:
    """Creates it, for its owner alone."""
    if not directory.is_dir():
        directory.mkdir(parents=True, mode=DIRECTORY_MODE)
        sync_directory(directory.parent)
    give_to_owner(directory, directory.parent)


def open_append(path: Path) -> int:
    """A descriptor that can only append; the file is made if it is not there, and its name is durable."""
    new = not path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, FILE_MODE)
    if new:
        give_to_owner(path, path.parent)
        sync_directory(path.parent)
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """All of `data`, on disk when this returns; `OSError` when it is not, whatever part of it is there then."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fdatasync(descriptor)


def read_head(directory: Path) -> Head | None:
    """What the file `head` says; None where there is none that can be read."""
    try:
        match = _HEAD.fullmatch((directory / HEAD_FILE).read_text(errors="replace").strip())
    except FileNotFoundError:
        return None
    return Head(int(match[1]), match[2]) if match else None


def write_head(directory: Path, head: Head) -> None:
    """Notes the head beside the records. It may be older than they are after a power cut, never newer."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / HEAD_FILE, flags, FILE_MODE)
    try:
        os.pwrite(descriptor, f"{head.seq:018d}:{head.hash}\n".encode(), 0)
        give_to_owner(directory / HEAD_FILE, directory)
    finally:
        os.close(descriptor)


def parse_heads(text: str) -> list[Head]:
    """Every `SEQ:HASH` in a text, such as the lines of a log."""
    return [Head(int(seq), digest) for seq, digest in _HEAD.findall(text)]


def sync_directory(path: Path) -> None:
    """The directory's names are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_owner(path: Path, like: Path) -> None:
    """When root does the node's work, what it makes belongs to the node all the same."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
