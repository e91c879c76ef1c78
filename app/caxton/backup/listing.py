"""`caxton backup list`: what lies in the backup directory, by what the manifests say.

Owns these lines. Must never open a backup: that is `verify`.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from caxton.backup import layout, status
from caxton.backup.faults import refusals
from caxton.backup.layout import Entry
from caxton.backup.manifest import Manifest, StateManifest, parse
from caxton.protocol.backup_status import Check
from caxton.protocol.errors import CaxtonError, Code


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. `manifest`: ok, missing, unreadable; `verified_at` None = never here; `fault` = what was found."""

    file: str
    kind: str
    taken_at: str
    size_bytes: int
    manifest: str
    node: str | None = None
    software: str | None = None
    schema_version: int | None = None
    messages: int | None = None
    pending: int | None = None
    modules: int | None = None
    encrypted: bool = False
    verified_at: str | None = None
    fault: str | None = None


def list_backups(directory: Path) -> list[Listed]:
    """All of them, newest first."""
    with refusals(Code.BACKUP_FAILED, f"list {directory}"):
        checked = status.read(directory).checked
        return [_listed(entry, checked.get(entry.path.name)) for entry in layout.entries(directory)]


def _listed(entry: Entry, check: Check | None) -> Listed:
    manifest, how = _manifest(entry)
    state = manifest if isinstance(manifest, StateManifest) else None
    return Listed(
        file=entry.path.name,
        kind=entry.kind,
        taken_at=_time(entry.taken_at),
        size_bytes=entry.path.stat().st_size,
        manifest=how,
        node=manifest.origin.node if manifest else None,
        software=manifest.origin.software if manifest else None,
        schema_version=state.schema_version if state else None,
        messages=state.rows.get("message") if state else None,
        pending=state.ledger.pending if state else None,
        modules=len(state.modules) if state else None,
        encrypted=entry.encrypted,
        verified_at=_time(check.at) if check and check.fault is None else None,
        fault=check.fault if check else None,
    )


def _manifest(entry: Entry) -> tuple[Manifest | None, str]:
    try:
        return parse(entry.manifest.read_bytes(), entry.manifest), "ok"
    except FileNotFoundError:
        return None, "missing"
    except (OSError, CaxtonError):
        return None, "unreadable"


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
