"""`caxton backup config`: the configuration directory as one archive.

Owns what goes in. Must never write a secret that is not encrypted, not even for a moment.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from caxton.audit.files import HEAD_FILE, listed
from caxton.backup import files, layout, retention, status
from caxton.backup.configuration_check import verify_configuration
from caxton.backup.faults import refusals
from caxton.backup.manifest import ConfigFile, ConfigManifest, origin, render
from caxton.backup.packing import sums
from caxton.backup.secrets_in_files import is_secret, secret_paths, without_secrets
from caxton.backup.state import LOCK_FILE, MadeBackup
from caxton.config import Config
from caxton.protocol.backup_status import Check, Made, Status
from caxton.protocol.errors import CaxtonError, Code
from caxton.store import sync_directory

MAX_FILE_BYTES: Final = 16_000_000
MAX_AUDIT_BYTES: Final = 64_000_000
AGE_SECONDS: Final = 60.0
DIRECTORIES: Final = ("config", "caxton")


@dataclass(frozen=True)
class _Item:
    """A file as it goes in. `name` is relative to the directory."""

    name: str
    content: bytes
    info: tarfile.TarInfo


def back_up_configuration(config: Config, source: Path, directory: Path) -> MadeBackup:
    """Backs the directory of the configuration file `source` up; verified before it has its name.

    Errors as for the state.
    """
    doing = f"back up {source.parent} into {directory}"
    with refusals(Code.BACKUP_FAILED, doing):
        files.make_directory(directory)
        with files.only_one(directory, LOCK_FILE) as ours:
            if not ours:
                raise CaxtonError(Code.CONFLICT, f"another backup into {directory} is running", path=str(directory))
            try:
                with refusals(Code.BACKUP_FAILED, doing):
                    return _back_up(config, source, directory)
            except CaxtonError as error:
                status.failed(directory, layout.CONFIG, error)
                raise


def _back_up(config: Config, source: Path, directory: Path) -> MadeBackup:
    started = time.monotonic()
    files.sweep(directory)
    recipient = config.backup.encryption_recipient
    taken_at = layout.free_stamp(directory, layout.CONFIG, time.time())
    items, left_out = _collect(source.absolute(), everything=recipient is not None)
    audit, omitted = _audit(config.paths.audit)
    items, left_out = items + audit, left_out + omitted
    stem = layout.stem(layout.CONFIG, taken_at)
    suffix = ".tar.gz" + (layout.ENCRYPTED if recipient else "")
    with files.work_directory(directory) as work:
        archive = work / f"{stem}{suffix}"
        with open(files.create(archive), "wb") as target:
            with _encrypted(target, recipient) if recipient else _plain(target) as sink:
                _write(items, source.absolute().parent.name, sink)
            target.flush()
        files.sync(archive)
        manifest = _manifest(items, left_out, taken_at, encrypted=recipient is not None)
        manifest = msgspec.structs.replace(manifest, file=sums(archive))
        beside = work / f"{stem}{layout.MANIFEST}"
        files.write(beside, render(manifest))
        verify_configuration(layout.Entry(archive, layout.CONFIG, taken_at))
        files.give_to_owner(work, directory)
        path = archive.rename(directory / archive.name)
        beside.rename(directory / beside.name)
        sync_directory(directory)
    made = Made(path.name, taken_at, time.monotonic() - started, path.stat().st_size)
    status.update(directory, lambda old: _noted(old, made))
    return MadeBackup(
        file=str(path),
        kind=layout.CONFIG,
        size_bytes=made.size_bytes,
        seconds=made.seconds,
        taken_at=taken_at,
        files=[item.name for item in items],
        left_out=left_out,
        encrypted=recipient is not None,
        removed=retention.apply(directory, layout.CONFIG, config.backup),
    )


def _noted(old: Status, made: Made) -> Status:
    return msgspec.structs.replace(old, config=made, checked={**old.checked, made.file: Check(time.time())})


def _candidates(production: Path) -> list[Path]:
    """The whole directory where it is one of configuration by its name; else (a home directory?) only the file."""
    root = production.parent
    return sorted(root.rglob("*")) if root.name in DIRECTORIES else [production]


def _collect(production: Path, *, everything: bool) -> tuple[list[_Item], list[str]]:
    """What goes in, and the names of what does not; with `everything` that is nothing."""
    root, items, left_out = production.parent, [], []
    named = secret_paths(production)
    for path in _candidates(production):
        name = str(path.relative_to(root))
        if not path.is_file():
            continue  # directories are made anew; there is nothing to keep of sockets
        content = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else None
        if content is None:
            left_out.append(f"{name} (too large)")
            continue
        if not everything:
            if path.resolve() in named or is_secret(path, content):
                left_out.append(name)
                continue
            content, keys = without_secrets(path, content)
            left_out += [f"{name}: {key}" for key in keys]
            if content is None:
                left_out.append(name)
                continue
        items.append(_Item(name, content, _info(path, len(content))))
    return items, left_out


def _audit(directory: Path) -> tuple[list[_Item], list[str]]:
    """The newest of the audit, which holds no secret; the rest is named. The head is read first: it may only lag."""
    head, room = directory / HEAD_FILE, MAX_AUDIT_BYTES
    kept = [head] if head.is_file() else []
    left_out = []
    for path in reversed(listed(directory)):
        room -= path.stat().st_size
        if room < 0:
            left_out.append(f"audit/{path.name} (too large together)")
        else:
            kept.append(path)
    contents = [(path, path.read_bytes()) for path in kept]
    items = [_Item(f"audit/{path.name}", content, _info(path, len(content))) for path, content in contents]
    return items, left_out


def _info(path: Path, size: int) -> tarfile.TarInfo:
    found, info = path.stat(), tarfile.TarInfo()
    info.size, info.mode, info.mtime, info.uid, info.gid = (
        size, found.st_mode & 0o777, int(found.st_mtime), found.st_uid, found.st_gid,
    )  # fmt: skip
    return info


def _write(items: list[_Item], folder: str, sink: IO[bytes]) -> None:
    with tarfile.open(fileobj=sink, mode="w|gz") as archive:
        for item in items:
            item.info.name = f"{folder}/{item.name}"
            archive.addfile(item.info, io.BytesIO(item.content))


def _manifest(items: list[_Item], left_out: list[str], taken_at: float, *, encrypted: bool) -> ConfigManifest:
    named = [
        ConfigFile(item.name, len(item.content), None if encrypted else hashlib.sha256(item.content).hexdigest())
        for item in items
    ]
    return ConfigManifest(origin=origin(taken_at), encrypted=encrypted, files=named, left_out=left_out)


@contextmanager
def _plain(target: IO[bytes]) -> Iterator[IO[bytes]]:
    yield target


@contextmanager
def _encrypted(target: IO[bytes], recipient: str) -> Iterator[IO[bytes]]:
    """What is written goes through `age` into `target`; `BACKUP_FAILED` when age is missing or refuses."""
    program = shutil.which("age")
    if program is None:
        raise CaxtonError(
            Code.BACKUP_FAILED,
            "backup.encryption_recipient is set, and there is no `age` here: apt install age",
            key="backup.encryption_recipient",
        )
    age = subprocess.Popen(
        [program, "--encrypt", "--recipient", recipient], stdin=subprocess.PIPE, stdout=target, stderr=subprocess.PIPE
    )
    try:
        try:
            yield cast("IO[bytes]", age.stdin)
        except BrokenPipeError:
            pass  # age has ended: its own message says why
        _, complaint = age.communicate(timeout=AGE_SECONDS)
    finally:
        age.kill()
        age.wait()
    if age.returncode != 0:
        raise CaxtonError(Code.BACKUP_FAILED, f"age: {complaint.decode(errors='replace').strip()[:500]}")
