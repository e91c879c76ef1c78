"""`caxton restore`: a backup becomes the state of the node on this host, which must be stopped.

Owns the steps before and after the swap, and the maintenance flag. Must never touch the old state before the whole
backup was verified.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from caxton.audit import recorded
from caxton.backup import files, swap
from caxton.backup.contents import describe
from caxton.backup.faults import Fault, invalid, refusals
from caxton.backup.manifest import StateManifest
from caxton.backup.verify import Opened, open_state
from caxton.config import Config
from caxton.protocol.errors import Code
from caxton.protocol.secrets import key_id_of, key_of
from caxton.protocol.views import Counts
from caxton.store import SCHEMA_VERSION, Archive, datalock, sync_directory

PAUSED_FILE: Final = "paused"
"""While it exists the router starts with scheduling paused; `caxton resume` removes it."""
LISTED_IDS: Final = 1_000


class PendingMail(msgspec.Struct, frozen=True):
    """Messages that run (again) once scheduling goes on. `message_ids`: the oldest, not always all."""

    agent: str
    count: int
    message_ids: list[str]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What is in place now. `agents`: name → status; `before`: where the old state is, None if there was none."""

    file: str
    taken_at: str
    node: str
    seconds: float
    rows: dict[str, int]
    ledger: Counts
    agents: dict[str, str]
    modules: int
    pending: list[PendingMail]
    before: str | None
    paused: bool
    notes: list[str]


def restore(config: Config, source: Path, *, paused: bool = False, reserve: int = 0) -> Restored:
    """Restores `source`; `reserve` bytes of the disk stay free.

    Errors: `CONFLICT` (the node runs), `BACKUP_INVALID`, `SCHEMA_TOO_NEW`, `STORAGE_FULL`, `RESTORE_FAILED`; after
    each of them the old state is in its place.
    """
    data, started = config.paths.data, time.monotonic()
    with refusals(Code.RESTORE_FAILED, f"restore {source} into {data}"):
        files.make_directory(data)
        with datalock.hold(data, datalock.SERVE_LOCK_FILE), datalock.hold(data), _maintenance(data):
            files.sweep(data)
            swap.forget_unused(data, config.paths.database)
            with files.work_directory(data) as work, recorded(data, "node.restore", source.name) as said:
                opened = open_state(source.absolute(), work, reserve)
                done = _restore(config, source, opened, work, paused=paused, started=started)
                said |= {
                    "taken_at": done.taken_at,
                    "from_node": done.node,
                    "before": done.before,
                    "paused": done.paused,
                }
                return done


def _restore(config: Config, source: Path, opened: Opened, work: Path, *, paused: bool, started: float) -> Restored:
    paths, manifest, notes = config.paths, opened.manifest, list(opened.notes)
    modules = work / "modules"
    modules.mkdir()
    files.require_room(work, sum(module.size_bytes for module in manifest.modules))
    with Archive.open(opened.database) as archive:
        _take_out(archive, manifest, modules, source)
        archive.strip()
        rows, ledger = describe(archive)
        if rows != manifest.rows or ledger != manifest.ledger:
            raise invalid(source, Fault.ROWS, "the unpacked state is not what the manifest says")
        agents = {agent.name: agent.status.value for agent in archive.agents()}
        pending = _pending(archive)
        notes += _keys_needed(config, archive)
    opened.database.chmod(files.FILE_MODE)
    files.give_to_owner(work, paths.data)
    with _pausing(paths.data / PAUSED_FILE, paused):
        before = swap.swap(paths, opened.database, modules)
    swap.keep_only(paths.modules, {module.sha256 for module in manifest.modules})
    if manifest.schema_version < SCHEMA_VERSION:
        notes.append("its schema is older than this release: run `caxton db upgrade` before you start the node")
    return Restored(
        file=str(source.absolute()),
        taken_at=manifest.origin.created_at,
        node=manifest.origin.node,
        seconds=time.monotonic() - started,
        rows=rows,
        ledger=ledger,
        agents=agents,
        modules=len(manifest.modules),
        pending=pending,
        before=str(before) if before else None,
        paused=(paths.data / PAUSED_FILE).exists(),
        notes=notes,
    )


@contextmanager
def _pausing(flag: Path, wanted: bool) -> Iterator[None]:
    """The flag is there before the new state is, and not when that did not come."""
    new = wanted and not flag.exists()
    if new:
        files.replace(flag, b"restored, waiting for `caxton resume`\n")
    try:
        yield
    except BaseException:
        if new:
            flag.unlink(missing_ok=True)
        raise


@contextmanager
def _maintenance(data: Path) -> Iterator[None]:
    """The flag that keeps anything from starting. Only a crash leaves it there; the next restore takes it over."""
    flag = data / datalock.MAINTENANCE_FILE
    files.replace(flag, b"restore, process %d\n" % os.getpid())
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)
        sync_directory(data)


def _take_out(archive: Archive, manifest: StateManifest, target: Path, source: Path) -> None:
    """Writes the modules as the router keeps them."""
    for module in manifest.modules:
        content = archive.module(module.sha256)
        if hashlib.sha256(content).hexdigest() != module.sha256:
            raise invalid(source, Fault.MODULES, f"the module {module.sha256} inside is damaged")
        files.write(target / module.sha256, content, 0o440)


def _keys_needed(config: Config, archive: Archive) -> list[str]:
    """A backup has agents' secrets as ciphertext only: which keys they need beside those that are here."""
    keys = (config.security.secrets_key, config.security.previous_secrets_key)
    here = {key_id_of(key_of(text)) for text in keys if text is not None}
    return [
        f"{count} secrets of agents need the key {key_id}, which is not in this configuration: the node must find it "
        "as security.secrets_key (caxton secret list says which can be read)"
        for key_id, count in archive.keys_of_secrets().items()
        if key_id not in here
    ]


def _pending(archive: Archive) -> list[PendingMail]:
    ids: dict[str, list[str]] = {}
    for agent, message_id in archive.pending_ids(LISTED_IDS):
        ids.setdefault(agent, []).append(message_id)
    return [PendingMail(agent, count, ids.get(agent, [])) for agent, count in archive.pending().items()]
