"""The cache of compiled modules: native code that only this node's supervisor may have written.

Owns the directory of artifacts and the key that authenticates them. Loading an artifact is running native
code (349 of 400 corrupted ones were accepted by wasmtime), so nothing leaves here that has not just been
verified in memory which nobody can change any more. Must never compile, and never load a module itself.

A file is `MAC | length of info | info (JSON) | artifact`. The MAC covers the file's name and all that
follows it, so a copied, renamed, altered or cut file is not ours: it is deleted.
"""

from __future__ import annotations

import asyncio
import fcntl
import hmac
import mmap
import os
import secrets
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from caxton.protocol.agents import MEBI, ModuleInfo, Profile
from caxton.telemetry.logs import event

SUFFIX: Final = ".artifact"
KEY_BYTES: Final = 32
MAC_BYTES: Final = 32
MAX_INFO_BYTES: Final = 16 * MEBI
_LENGTH: Final = struct.Struct("<I")
_CHUNK: Final = 4 * MEBI
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Loaded(NamedTuple):
    """A verified artifact: a sealed memfd that stays the cache's own (pass it on, never close it), and its info."""

    fd: int
    info: ModuleInfo
    size_bytes: int


@dataclass(slots=True)
class ArtifactCache:
    """Artifacts in `directory`, at most `limit_bytes` of them; the least recently used go first.

    `open_limit` sealed memfds of at most `open_bytes` together are kept, so that workers share the pages.
    """

    directory: Path
    engine_key: str
    limit_bytes: int = 20_000_000_000
    open_limit: int = 2_000
    open_bytes: int = 2_000_000_000
    _key: bytes = b""
    _open: OrderedDict[str, Loaded] = field(default_factory=OrderedDict)

    def prepare(self) -> None:
        """Makes the directory and the key; drops what an earlier process left half written."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for leftover in self.directory.glob("*.new"):
            leftover.unlink(missing_ok=True)
        self._key = _read_key(self.directory / "key") or _make_key(self.directory / "key")

    def close(self) -> None:
        """Closes every memfd; workers keep theirs."""
        while self._open:
            os.close(self._open.popitem()[1].fd)

    async def load(self, sha256: str, profile: Profile, *, snapshot: bool = False) -> Loaded | None:
        """The artifact, verified; None when there is none or what is there is not ours (it is deleted)."""
        name = self._name(sha256, profile, snapshot)
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        path = self.directory / name
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            loaded = await self._verified(name, source)
            if loaded is None or loaded.info.sha256 != sha256:
                path.unlink(missing_ok=True)
                return None
            os.utime(source)  # the order of eviction
        finally:
            os.close(source)
        return self._keep(name, loaded)

    async def store(self, profile: Profile, artifact: int, info: ModuleInfo, *, snapshot: bool = False) -> Loaded:
        """Seals the memfd `artifact`, which is the cache's from now on, and writes it to the disk.

        A disk that takes no more costs only the next compilation: the sealed memfd serves meanwhile.
        """
        name = self._name(info.sha256, profile, snapshot)
        try:
            fcntl.fcntl(artifact, fcntl.F_ADD_SEALS, _SEALS)
            loaded = Loaded(artifact, info, os.fstat(artifact).st_size)
            try:
                await self._write(name, loaded)
                self._evict()
            except OSError as error:
                event("artifact not cached on disk", sha256=info.sha256, detail=str(error))
                (self.directory / f"{name}.new").unlink(missing_ok=True)
        except BaseException:
            os.close(artifact)
            raise
        return self._keep(name, loaded)

    def _name(self, sha256: str, profile: Profile, snapshot: bool) -> str:
        form = f"{profile}-snapshot" if snapshot else profile  # rewritten, so it is other code
        return f"{sha256}-{form}-{self.engine_key}{SUFFIX}"

    def _keep(self, name: str, loaded: Loaded) -> Loaded:
        earlier = self._open.pop(name, None)
        if earlier:
            os.close(earlier.fd)
        self._open[name] = loaded
        total = sum(item.size_bytes for item in self._open.values())
        while len(self._open) > 1 and (len(self._open) > self.open_limit or total > self.open_bytes):
            _, oldest = self._open.popitem(last=False)
            total -= oldest.size_bytes
            os.close(oldest.fd)
        return loaded

    async def _verified(self, name: str, source: int) -> Loaded | None:
        """Copies the file into a sealed memfd and checks the copy: whoever can write the file cannot change that."""
        head = os.pread(source, MAC_BYTES + _LENGTH.size, 0)
        if len(head) < MAC_BYTES + _LENGTH.size:
            return None
        (info_bytes,) = _LENGTH.unpack_from(head, MAC_BYTES)
        if info_bytes > MAX_INFO_BYTES:
            return None
        info = os.pread(source, info_bytes, len(head))
        copy = os.memfd_create(name[:100], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            await _copy(source, copy, len(head) + info_bytes)
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
            mac = await self._mac(name, head[MAC_BYTES:] + info, copy)
            if not hmac.compare_digest(mac, head[:MAC_BYTES]):
                os.close(copy)
                return None
            return Loaded(copy, msgspec.json.decode(info, type=ModuleInfo), os.fstat(copy).st_size)
        except BaseException:
            os.close(copy)
            raise

    async def _mac(self, name: str, header: bytes, artifact: int) -> bytes:
        digest = blake2b(name.encode() + b"\0" + header, key=self._key, digest_size=MAC_BYTES)
        for chunk in _chunks(artifact):
            digest.update(chunk)
            await asyncio.sleep(0)  # stuck workers are looked for meanwhile
        return digest.digest()

    async def _write(self, name: str, loaded: Loaded) -> None:
        info = msgspec.json.encode(loaded.info)
        header = _LENGTH.pack(len(info)) + info
        mac = await self._mac(name, header, loaded.fd)
        temporary = self.directory / f"{name}.new"
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(target, mac + header)
            for chunk in _chunks(loaded.fd):
                _write_all(target, chunk)
                await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, os.fsync, target)
        finally:
            os.close(target)
        temporary.rename(self.directory / name)
        _sync_directory(self.directory)

    def _evict(self) -> None:
        """Deletes the files that were used longest ago until the rest fits."""
        files = sorted(
            ((path.stat(), path) for path in self.directory.glob(f"*{SUFFIX}")), key=lambda f: f[0].st_mtime
        )
        total = sum(stat.st_size for stat, _ in files)
        for stat, path in files[:-1]:
            if total <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size


def _read_key(path: Path) -> bytes | None:
    """The key, unless it is missing, short, a link, or somebody else could have read or written it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        stat = os.fstat(fd)
        key = os.read(fd, KEY_BYTES + 1)
    finally:
        os.close(fd)
    ours = stat.st_uid == os.geteuid() and stat.st_mode & 0o077 == 0
    return key if ours and len(key) == KEY_BYTES else None


def _make_key(path: Path) -> bytes:
    """A new key; everything cached under another one is so worth nothing."""
    path.unlink(missing_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, key)
        os.fsync(fd)
    finally:
        os.close(fd)
    _sync_directory(path.parent)
    return key


async def _copy(source: int, target: int, position: int) -> None:
    while sent := os.sendfile(target, source, position, _CHUNK):
        position += sent
        await asyncio.sleep(0)


def _chunks(fd: int) -> Iterator[memoryview]:
    size = os.fstat(fd).st_size
    if not size:
        return
    with mmap.mmap(fd, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as pages, memoryview(pages) as view:
        for position in range(0, size, _CHUNK):
            with view[position : position + _CHUNK] as chunk:
                yield chunk


def _write_all(fd: int, data: bytes | memoryview) -> None:
    with memoryview(data) as view:
        position = 0
        while position < len(view):
            position += os.write(fd, view[position:])


def _sync_directory(directory: Path) -> None:
    """As the store's: the executor has no store to import it from."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
