"""Files that are whole or not there: work directories, durable writes, owners.

Owns how anything gets its final name. Must never know what is in a file.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.store import disk_free, sync_directory

FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750
_WORK: Final = ".work-"


@contextmanager
def work_directory(parent: Path) -> Iterator[Path]:
    """A directory for unfinished files on the file system of `parent`; gone at the end, or by the next `sweep`."""
    while True:
        path = parent / f"{_WORK}{secrets.token_hex(4)}"
        path.mkdir(mode=0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.is_dir():  # else a sweep came between the two steps
            break
        os.close(descriptor)
    give_to_owner(path, parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def sweep(parent: Path) -> int:
    """Removes what interrupted runs left in `parent`; answers how many directories. One in use stays."""
    removed = 0
    for path in parent.glob(f"{_WORK}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    return removed


def create(path: Path, mode: int = FILE_MODE) -> int:
    """A new file whose mode does not depend on the umask; its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    os.fchmod(descriptor, mode)
    return descriptor


def write(path: Path, content: bytes, mode: int = FILE_MODE) -> None:
    """A new file with this content, on disk when this returns; its name is not, until `sync_directory`."""
    with open(create(path, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Makes `content` the file at `path`, all or nothing."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        write(temporary, content)
        give_to_owner(temporary, path.parent)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync(path: Path) -> None:
    """What was written to the file is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Creates the directory unless it is there; it belongs to whom its parent belongs to."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    path.chmod(DIRECTORY_MODE)
    give_to_owner(path, path.parent)


def give_to_owner(path: Path, like: Path) -> None:
    """When root does the node's work: `path`, and all in it, belongs to whom `like` belongs to."""
    if os.geteuid() != 0:
        return
    owner = like.stat()
    for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
        os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)


def require_room(directory: Path, needed: int, reserve: int = 0) -> None:
    """`STORAGE_FULL` unless `needed` bytes fit on the file system of `directory`, and `reserve` are left."""
    free = disk_free(directory)
    if free < needed + reserve:
        raise CaxtonError(
            Code.STORAGE_FULL,
            f"{directory} has {free} bytes free; {needed} are needed for a while, and {reserve} must be left",
            path=str(directory),
            found=free,
            expected=needed + reserve,
        )


@contextmanager
def only_one(directory: Path, name: str, *, wait: bool = False) -> Iterator[bool]:
    """Holds a lock of the directory; False when somebody else does and `wait` is not set."""
    descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        give_to_owner(directory / name, directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)
