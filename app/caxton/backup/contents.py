"""What an unpacked backup of the state must be: a whole database of this release, and exactly what its manifest says.

Owns these checks. Must never change the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from caxton.backup.faults import Fault, invalid
from caxton.backup.manifest import Module, StateManifest, parse
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.views import Counts
from caxton.store import Archive, db_status, integrity_check

_MAGIC = b"SQLite format 3\0"


def check_contents(database: Path, source: Path) -> StateManifest:
    """Checks everything in the unpacked `database`; the manifest inside it. `source` is named in errors.

    Errors: `BACKUP_INVALID` with its fault, `SCHEMA_TOO_NEW`.
    """
    with database.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise invalid(source, Fault.INTEGRITY, "it does not hold a database")
    try:
        check_schema(database, source)
        wrong = integrity_check(database)
        if wrong:
            raise invalid(source, Fault.INTEGRITY, f"the database inside is damaged: {wrong[0]}")
        with Archive.open(database) as archive:
            return _check_archive(archive, source)
    except CaxtonError as error:
        if error.code is Code.INTERNAL_ERROR:
            raise invalid(source, Fault.INTEGRITY, error.message) from error
        raise


def check_schema(database: Path, source: Path) -> None:
    """`SCHEMA_TOO_NEW` when only a newer release can work with it."""
    status = db_status(database)
    if status.compat > status.head:
        raise CaxtonError(
            Code.SCHEMA_TOO_NEW,
            f"{source} was made by a newer release (schema {status.version}, needs at least {status.compat}; this "
            f"release knows {status.head}): install that release, then restore",
            path=str(source),
            found=status.version,
            needs=status.compat,
            expected=status.head,
        )


def total(ledger: dict[str, Counts]) -> Counts:
    """The sum over all agents."""
    names = Counts.__struct_fields__
    return Counts(**{name: sum(getattr(counts, name) for counts in ledger.values()) for name in names})


def describe(archive: Archive) -> tuple[dict[str, int], Counts]:
    """Rows by table, and the ledger's total: what a manifest says of a database."""
    return archive.rows(), total(archive.ledger())


def check_books(archive: Archive, source: Path) -> None:
    """The ledger's identity holds for every agent, and no counter differs from the rows."""
    wrong = [f"{name}: out of balance by {one.imbalance}" for name, one in archive.ledger().items() if one.imbalance]
    wrong += archive.mismatches()
    if wrong:
        raise invalid(source, Fault.LEDGER, f"the ledger does not balance: {wrong[0]}")


def _check_archive(archive: Archive, source: Path) -> StateManifest:
    document = archive.manifest()
    if document is None:
        raise invalid(source, Fault.MANIFEST, "there is no manifest inside: it was not made by `caxton backup state`")
    manifest = parse(document, source)
    if not isinstance(manifest, StateManifest):
        raise invalid(source, Fault.MANIFEST, "the manifest inside is of another kind")
    rows, ledger = describe(archive)
    if rows != manifest.rows or ledger != manifest.ledger:
        differing = sorted(
            name for name in rows.keys() | manifest.rows.keys() if rows.get(name) != manifest.rows.get(name)
        )
        raise invalid(
            source, Fault.ROWS, f"it holds other rows than its manifest says ({', '.join(differing) or 'ledger'})"
        )
    check_books(archive, source)
    _check_modules(archive, manifest, source)
    return manifest


def _check_modules(archive: Archive, manifest: StateManifest, source: Path) -> None:
    found = []
    for sha256 in sorted(archive.modules()):
        content = archive.module(sha256)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise invalid(source, Fault.MODULES, f"the module {sha256} inside is damaged")
        found.append(Module(sha256, len(content)))
    missing = archive.modules_needed() - {module.sha256 for module in found}
    if missing or found != manifest.modules:
        raise invalid(
            source, Fault.MODULES, "a module that an agent needs, or that the manifest names, is not inside"
        )
