"""`caxton backup state|config|list|verify|drill`: the backups of the node on this host.

Owns the verbs and how their results look. Must never do their work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from caxton.cli.audited import note_done
from caxton.cli.failures import EXIT_FAILED
from caxton.cli.local import configuration
from caxton.cli.render import emit_json, emit_one, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.config import Config
from caxton.config.sources import PRODUCTION_FILE
from caxton.protocol.errors import CaxtonError, Code

if TYPE_CHECKING:
    from caxton.backup import MadeBackup
    from caxton.serve.engine_room import EngineRoom

NICE: Final = 10
"""A backup has all night; the node has not."""
MADE: Final = {
    "backup": "file", "bytes": "size_bytes", "seconds": "seconds", "modules": "modules", "removed": "removed",
}  # fmt: skip
CONFIG_MADE: Final = {"backup": "file", "bytes": "size_bytes", "files": "files", "encrypted": "encrypted"}
LISTED: Final = {
    "FILE": "file", "TAKEN": "taken_at", "BYTES": "size_bytes", "MESSAGES": "messages", "PENDING": "pending",
    "MODULES": "modules", "SCHEMA": "schema_version", "SOFTWARE": "software", "MANIFEST": "manifest",
    "VERIFIED": "verified_at", "FAULT": "fault",
}  # fmt: skip
VERIFIED: Final = {"FILE": "file", "FAULT": "fault", "CODE": "code", "MESSAGE": "message", "NOTES": "notes"}
DRILLED: Final = {"backup": "file", "seconds": "seconds", "agents started": "agents", "probe answered": "proof"}

_directory = click.option(
    "--directory", type=click.Path(path_type=Path), help="Instead of backup.directory of the configuration."
)


@click.group()
def backup() -> None:
    """Back the node up, verify, prove that it restores."""


@backup.command("state")
@_directory
@output_options
@pass_state
def state_(state: State, directory: Path | None) -> None:
    """Back the database and its modules up, beside the running node; then apply the retention."""
    from caxton.backup import back_up_state

    config, where = _prepare(state, directory)
    made = back_up_state(config, where)
    note_done(state, "backup.state", Path(made.file).name, size_bytes=made.size_bytes, removed=made.removed)
    _show(state, made, MADE)


@backup.command("config")
@_directory
@output_options
@pass_state
def config_(state: State, directory: Path | None) -> None:
    """Back the configuration directory up; secrets only if backup.encryption_recipient is set."""
    from caxton.backup import back_up_configuration

    loaded = configuration(state)
    source = loaded.file or PRODUCTION_FILE
    if not source.is_file():
        raise CaxtonError(
            Code.BACKUP_FAILED,
            f"there is no configuration file here: {source}; name one with --config",
            path=str(source),
        )
    config, where = _prepare(state, directory)
    made = back_up_configuration(config, source, where)
    note_done(state, "backup.config", Path(made.file).name, size_bytes=made.size_bytes, removed=made.removed)
    _show(state, made, CONFIG_MADE)
    for name in made.left_out:
        note(state, f"left out, it is secret: {name}")
    if made.left_out:
        note(state, "set backup.encryption_recipient to have everything in the backup, encrypted")


@backup.command("list")
@_directory
@output_options
@pass_state
def list_(state: State, directory: Path | None) -> None:
    """Show the backups, newest first."""
    from caxton.backup import list_backups

    _, where = _prepare(state, directory)
    emit_rows(state, [msgspec.to_builtins(one) for one in list_backups(where)], LISTED)


@backup.command()
@click.argument("file", required=False)
@click.option("--all", "everything", is_flag=True, help="Every backup in the directory.")
@_directory
@output_options
@pass_state
def verify(state: State, file: str | None, everything: bool, directory: Path | None) -> int:
    """Open a backup (or all, or the newest: `latest`) and check everything in it; exit 1 when one does not hold."""
    from caxton.backup import find, list_backups, reserve_of, verify

    if (file is None) is not everything:
        raise click.UsageError("name one backup, or give --all")
    config, where = _prepare(state, directory)
    paths = [find(where, file)] if file else [where / one.file for one in list_backups(where)]
    found = [verify(where, path, reserve_of(config, where)) for path in paths]
    if state.as_json:
        emit_json(found)
    else:
        emit_rows(state, [msgspec.to_builtins(one) for one in found], VERIFIED)
    return EXIT_FAILED if any(one.code for one in found) else 0


@backup.command()
@_directory
@output_options
@pass_state
def drill(state: State, directory: Path | None) -> None:
    """Restore the newest backup into a scratch directory, run a node on it, prove that it executes.

    The node itself is not touched, and none of the restored messages runs.
    """
    from caxton.backup import drill
    from caxton.cli.local import call

    config, where = _prepare(state, directory)
    found = drill(config, where, _boot, call)
    emit_one(state, msgspec.to_builtins(found), DRILLED)


@contextmanager
def _boot(config: Config, file: Path) -> Iterator[EngineRoom]:
    from caxton.serve.engine_room import engine_room
    from caxton.serve.preflight import make_directories

    make_directories(config)
    with engine_room(config, file, os.environ) as room:
        yield room


def _prepare(state: State, directory: Path | None) -> tuple[Config, Path]:
    """The configuration and the backup directory; from here on this process is patient, its files not public."""
    config = configuration(state).config
    os.umask(0o027)
    os.nice(max(0, NICE - os.nice(0)))  # its unit may have said so already
    return config, (directory or Path(config.backup.directory)).absolute()


def _show(state: State, made: MadeBackup, columns: dict[str, str]) -> None:
    result: dict[str, Any] = msgspec.to_builtins(made)
    emit_one(state, result, columns)
