"""Module files: `data/modules/<sha256>`, content-addressed, written once.

Owns the directory and who still needs a file. Must never read a module's meaning.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from caxton.provenance.trust import module_changed
from caxton.store import sync_directory

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_TEMPORARY: Final = ".part"


class ModuleFiles:
    """The directory of modules, and the files that deployments under way hold on to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: Counter[str] = Counter()
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)

    def path(self, sha256: str) -> Path:
        """Where the module's bytes are."""
        return self._directory / sha256

    def hold(self, sha256: str) -> None:
        """Keeps the file from being collected until `release`."""
        self._held[sha256] += 1

    def release(self, sha256: str) -> None:
        """Ends one `hold`."""
        self._held[sha256] -= 1
        if self._held[sha256] <= 0:
            del self._held[sha256]

    async def put(self, module: bytes) -> str:
        """Writes the bytes (durable when this returns) and holds them; answers their SHA-256."""
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(module).hexdigest())
        self.hold(sha256)
        try:
            await asyncio.to_thread(_write, self.path(sha256), module)
        except BaseException:
            self.release(sha256)
            raise
        return sha256

    def discard(self, sha256: str, needed: Iterable[str]) -> None:
        """Removes one file unless it is needed or held."""
        if sha256 not in self._held and sha256 not in set(needed):
            self.path(sha256).unlink(missing_ok=True)

    async def collect(self, needed: Iterable[str]) -> int:
        """Removes every file that is neither needed nor held; answers how many."""
        keep = set(needed)
        names = await asyncio.to_thread(os.listdir, self._directory)
        # Looked up here, on the loop: a deployment may have taken hold of a file while the thread listed.
        doomed = [
            n for n in names if _is_ours(n) and n not in keep and n.removesuffix(_TEMPORARY)[:64] not in self._held
        ]
        for name in doomed:
            (self._directory / name).unlink(missing_ok=True)
        return len(doomed)


async def open_verified(path: Path, sha256: str) -> int:
    """A descriptor of the module's file, the caller's. `SIGNATURE_REFUSED` when its bytes are not those deployed.

    Whoever compiles it looks at the digest of what it reads once more: the file may change after this.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = await asyncio.to_thread(_digest, descriptor)
        if found != sha256:
            raise module_changed(path.name, sha256, found)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _digest(descriptor: int) -> str:
    with open(descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_ours(name: str) -> bool:
    return _NAME.fullmatch(name) is not None or name.endswith(_TEMPORARY)


def _write(path: Path, module: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the directory: the name never stands for anything but all of it."""
    if _is_there(path, module):
        return
    temporary = path.with_name(f"{path.name}-{secrets.token_hex(4)}{_TEMPORARY}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
    try:
        with open(descriptor, "wb") as file:
            file.write(module)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _is_there(path: Path, module: bytes) -> bool:
    """Whether the file has these very bytes; one that somebody changed is written anew."""
    try:
        return path.stat().st_size == len(module) and path.read_bytes() == module
    except FileNotFoundError:
        return False
