"""`caxton backup verify`: opens a backup and compares all of it with its manifests.

Owns the order of the checks. Must never change a backup, nor take one for good that was not read to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from caxton.backup import configuration_check, files, layout, status
from caxton.backup.contents import check_contents
from caxton.backup.faults import Fault, invalid, refusals
from caxton.backup.manifest import FileSums, StateManifest, parse, without_file
from caxton.backup.packing import unpack, unpacked_bytes
from caxton.protocol.errors import CaxtonError, Code

NO_MANIFEST: Final = "its manifest is missing; the one inside holds"
NEWEST: Final = "latest"
_DATABASE: Final = "unpacked.db"


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found. `fault` None: everything holds."""

    file: str
    kind: str
    code: str | None = None
    fault: str | None = None
    message: str | None = None
    notes: list[str] = []


class Opened(msgspec.Struct, frozen=True):
    """A backup of the state, unpacked and checked."""

    database: Path
    manifest: StateManifest
    notes: list[str]


def find(directory: Path, name: str, kind: str | None = None) -> Path:
    """A backup by path, by its name in `directory`, or the newest by `latest`; `BACKUP_INVALID` if there is none."""
    with refusals(Code.BACKUP_FAILED, f"look into {directory}"):
        if name == NEWEST:
            found = layout.entries(directory, kind)
            if not found:
                raise invalid(directory, Fault.MISSING, "there is no backup")
            return found[0].path
        path = Path(name)
        if not path.is_file() and path.name == name:
            path = directory / name
        if not path.is_file():
            raise invalid(path, Fault.MISSING, "there is no such file")
    return path


def verify(directory: Path, path: Path, reserve: int = 0) -> Verified:
    """Checks one backup, and notes the result when it lies in `directory`.

    It is unpacked there; `reserve` bytes must stay free. Raises `BACKUP_FAILED` or `STORAGE_FULL` when the check
    itself is not possible.
    """
    entry = layout.parse(path)
    if entry is None:
        return _found(path, "unknown", invalid(path, Fault.NAME, "this is no name of a backup"))
    with refusals(Code.BACKUP_FAILED, f"verify {path}"):
        try:
            if entry.kind == layout.STATE:
                with files.work_directory(directory) as work:
                    notes = verify_state(path, work, reserve)
            else:
                notes = configuration_check.verify_configuration(entry)
            found = Verified(file=str(path), kind=entry.kind, notes=notes)
        except CaxtonError as error:
            if error.code not in (Code.BACKUP_INVALID, Code.SCHEMA_TOO_NEW):
                raise
            found = _found(path, entry.kind, error)
        if path.parent.resolve() == directory.resolve():
            status.checked(directory, path.name, found.fault)
    return found


def verify_state(path: Path, work: Path, reserve: int = 0) -> list[str]:
    """Checks a backup of the state with the help of an empty directory; what there is to say about it."""
    opened = open_state(path, work, reserve)
    opened.database.unlink()
    return opened.notes


def open_state(path: Path, work: Path, reserve: int = 0) -> Opened:
    """Unpacks a backup of the state into `work`, where `reserve` bytes stay free, and checks everything in it."""
    beside = _manifest_beside(path)
    most = None if beside is None else _database_bytes(beside)
    files.require_room(work, unpacked_bytes(path) if most is None else most, reserve)
    database = work / _DATABASE
    found = unpack(path, database, most=most, reserve=reserve)
    if beside is not None and beside.file != found:
        what = _difference(beside.file, found)
        raise invalid(
            path,
            Fault.CHECKSUM,
            f"it is not the file that its manifest is of: {what}. If the manifest is the wrong one, move it away: "
            "the one inside the backup is used then",
        )
    inside = check_contents(database, path)
    if beside is not None and without_file(beside) != inside:
        raise invalid(path, Fault.MANIFEST, "the manifest beside it differs from the one inside")
    return Opened(database, inside, [] if beside is not None else [NO_MANIFEST])


def _manifest_beside(path: Path) -> StateManifest | None:
    entry = layout.parse(path)
    if entry is None or entry.kind != layout.STATE:
        raise invalid(path, Fault.NAME, "this is no name of a backup of the state: state_YYYYmmdd_HHMMSS.db.gz")
    try:
        document = entry.manifest.read_bytes()
    except FileNotFoundError:
        return None
    manifest = parse(document, entry.manifest)
    if not isinstance(manifest, StateManifest) or manifest.file is None:
        raise invalid(entry.manifest, Fault.MANIFEST, "the manifest is not one of a backup of the state")
    return manifest


def _database_bytes(manifest: StateManifest) -> int:
    return (manifest.file.database_bytes if manifest.file is not None else None) or 0


def _difference(expected: FileSums | None, found: FileSums) -> str:
    if expected is None or expected.size_bytes != found.size_bytes:
        return f"{found.size_bytes} bytes instead of {expected.size_bytes if expected else 'none'}"
    return "its SHA-256 is another"


def _found(path: Path, kind: str, error: CaxtonError) -> Verified:
    fault = error.details.get("fault", Fault.SCHEMA.value)
    return Verified(file=str(path), kind=kind, code=error.code.value, fault=fault, message=error.message)
