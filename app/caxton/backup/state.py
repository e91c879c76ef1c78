"""`caxton backup state`: one file that holds the node's database, its modules, and a manifest of both.

Owns the steps. Must never let a file have its final name before it was verified, nor stop the node's writer.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from caxton.backup import files, layout, retention, status
from caxton.backup.contents import check_books, describe
from caxton.backup.faults import refusals
from caxton.backup.manifest import Module, StateManifest, origin, render, without_file
from caxton.backup.packing import pack
from caxton.backup.verify import verify_state
from caxton.config import Config
from caxton.protocol.backup_status import Check, Made, Status
from caxton.protocol.errors import CaxtonError, Code
from caxton.store import Archive, copy_bytes, copy_database, db_status, modules_needed, sync_directory

LOCK_FILE: Final = ".lock"
PEAK: Final = 1.5
"""What a backup takes while it is made: the copy, or what is unpacked for the check, beside the compressed file."""
ATTEMPTS: Final = 3
"""A module may be removed between the copy and its reading: with a newer copy nobody refers to it."""


class MadeBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made, verified and named. `removed`: older ones that the retention let go."""

    file: str
    kind: str
    size_bytes: int
    seconds: float
    taken_at: float
    rows: dict[str, int] = {}
    modules: int = 0
    files: list[str] = []
    left_out: list[str] = []
    encrypted: bool = False
    removed: list[str] = []


def back_up_state(config: Config, directory: Path) -> MadeBackup:
    """Backs the state up into `directory`, verifies it, then applies the retention.

    Errors: `CONFLICT` (another backup runs), `BACKUP_FAILED`, `BACKUP_INVALID` (it did not verify), `STORAGE_FULL`.
    """
    with refusals(Code.BACKUP_FAILED, f"back up into {directory}"):
        files.make_directory(directory)
        with files.only_one(directory, LOCK_FILE) as ours:
            if not ours:
                raise CaxtonError(Code.CONFLICT, f"another backup into {directory} is running", path=str(directory))
            try:
                with refusals(Code.BACKUP_FAILED, f"back up into {directory}"):
                    return _back_up(config, directory)
            except CaxtonError as error:
                status.failed(directory, layout.STATE, error)
                raise


def _back_up(config: Config, directory: Path) -> MadeBackup:
    started = time.monotonic()
    files.sweep(directory)
    database = config.paths.database
    if not database.is_file():
        raise CaxtonError(Code.BACKUP_FAILED, f"there is no database at {database}", path=str(database))
    files.require_room(directory, int(copy_bytes(database) * PEAK), reserve_of(config, directory))
    with files.work_directory(directory) as work:
        copy, modules, taken_at = _copy(config, directory, work)
        manifest = _complete(copy, modules, taken_at)
        packed = work / f"{layout.stem(layout.STATE, taken_at)}.db.gz"
        sums = pack(copy, packed)
        copy.unlink()
        manifest = msgspec.structs.replace(manifest, file=sums)
        files.write(work / f"{layout.stem(layout.STATE, taken_at)}{layout.MANIFEST}", render(manifest))
        (work / "check").mkdir()
        verify_state(packed, work / "check")
        path = _name(directory, packed)
    seconds = time.monotonic() - started
    made = Made(path.name, taken_at, seconds, sums.size_bytes)
    status.update(directory, lambda old: _noted(old, made))
    return MadeBackup(
        file=str(path),
        kind=layout.STATE,
        size_bytes=sums.size_bytes,
        seconds=seconds,
        taken_at=taken_at,
        rows=manifest.rows,
        modules=len(manifest.modules),
        removed=retention.apply(directory, layout.STATE, config.backup),
    )


def reserve_of(config: Config, directory: Path) -> int:
    """Bytes that must stay free in `directory`: beside its data the node needs its own reserve to take work."""
    data = config.paths.data
    if not os.access(data, os.R_OK):
        data = data.parent  # the drill's unit hides it behind another file system
    if not directory.is_dir() or not data.is_dir():
        return 0
    return config.messaging.low_disk_bytes if directory.stat().st_dev == data.stat().st_dev else 0


def _copy(config: Config, directory: Path, work: Path) -> tuple[Path, list[Module], float]:
    """The copy, completed with every module it refers to, and the moment it stands for."""
    for attempt in range(ATTEMPTS):
        taken_at = layout.free_stamp(directory, layout.STATE, time.time())
        copy = work / f"copy-{attempt}.db"
        os.close(files.create(copy))
        copy_database(config.paths.database, copy)
        with Archive.open(copy) as archive:
            modules = _add_modules(archive, config)
        if modules is not None:
            return copy, modules, taken_at
        copy.unlink()
    raise CaxtonError(Code.BACKUP_FAILED, f"modules were removed during each of {ATTEMPTS} attempts; try again")


def _add_modules(archive: Archive, config: Config) -> list[Module] | None:
    """Adds every module that the copy refers to; None when one was removed since."""
    archive.make_room()
    modules = []
    for sha256 in sorted(archive.modules_needed()):
        path = config.paths.modules / sha256
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if sha256 in modules_needed(config.paths.database):
                raise CaxtonError(
                    Code.BACKUP_FAILED, f"the module {path} is gone, and an agent needs it", path=str(path)
                ) from None
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CaxtonError(Code.BACKUP_FAILED, f"the module {path} is damaged: it is not its name", path=str(path))
        archive.add_module(sha256, content)
        modules.append(Module(sha256, len(content)))
    return modules


def _complete(copy: Path, modules: list[Module], taken_at: float) -> StateManifest:
    """Writes the manifest into the copy; `BACKUP_INVALID` when its ledger does not balance."""
    schema = db_status(copy)
    with Archive.open(copy) as archive:
        rows, ledger = describe(archive)
        check_books(archive, copy)
        manifest = StateManifest(
            origin=origin(taken_at),
            schema_version=schema.version,
            schema_compat=schema.compat,
            rows=rows,
            ledger=ledger,
            modules=modules,
        )
        archive.set_manifest(render(without_file(manifest)))
    return manifest


def _name(directory: Path, packed: Path) -> Path:
    """The final names: first the backup, which is whole by itself, then its manifest."""
    work, path = packed.parent, directory / packed.name
    files.give_to_owner(work, directory)
    beside = work / f"{packed.name.removesuffix('.db.gz')}{layout.MANIFEST}"
    packed.rename(path)
    beside.rename(directory / beside.name)
    sync_directory(directory)
    return path


def _noted(old: Status, made: Made) -> Status:
    checked = {**old.checked, made.file: Check(time.time())}
    return msgspec.structs.replace(old, state=made, failure=None, checked=checked)
