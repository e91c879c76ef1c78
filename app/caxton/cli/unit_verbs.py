"""`caxton unit-settings`: production.toml as drop-ins of systemd's units.

Owns the verb. Must never work out a setting: `caxton.systemd` does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import click

from caxton.cli.render import emit_json, note
from caxton.cli.state import State, output_options, pass_state
from caxton.config import load
from caxton.protocol.errors import CaxtonError, Code

_MANAGED: Final = (Path("/run/systemd/system"), Path("/etc/systemd/system"))
"""Where a running systemd looks; /run/systemd/system exists exactly where systemd is the init."""
_RELOAD_SECONDS: Final = 60.0


@click.command("unit-settings")
@click.option(
    "--write", "directory", type=click.Path(path_type=Path, file_okay=False), help="Write them below this directory."
)
@output_options
@pass_state
def unit_settings(state: State, directory: Path | None) -> None:
    """Print the drop-ins that follow from the configuration, or write those that changed.

    Written where systemd looks (/run/systemd/system), it is told to read its units again, if something changed now or
    was not read the last time. Nothing is restarted: limits hold from a unit's next start.
    """
    from caxton import systemd

    loaded = load(state.config_file, os.environ, needed=systemd.NEEDED)
    texts = systemd.drop_ins(systemd.unit_settings(loaded.config))
    for warning in loaded.warnings:
        note(state, f"warning: {warning}")
    if directory is None:
        _print(state, texts)
        return
    try:
        written = systemd.write(directory, texts)
        reloaded = written.unread and _reload(directory)
        systemd.mark_read(directory)
    except OSError as error:
        raise CaxtonError(
            Code.INTERNAL_ERROR, f"cannot write below {directory}: {error.strerror or error}", path=str(directory)
        ) from error
    if state.as_json:
        emit_json({"changed": written.changed, "removed": written.removed, "reloaded": reloaded})
        return
    names = [*written.changed, *(f"{unit} (removed)" for unit in written.removed)]
    note(state, f"changed: {', '.join(names)}" if names else "unchanged")


def _print(state: State, texts: dict[str, str]) -> None:
    if state.as_json:
        emit_json(texts)
        return
    from caxton.systemd import DROP_IN

    click.echo("\n".join(f"# {unit}.d/{DROP_IN}\n{text}" for unit, text in texts.items()), nl=False)


def _reload(directory: Path) -> bool:
    """Has systemd read its units again where it is the init and looks here; whether it was told."""
    if directory.absolute() not in _MANAGED or not _MANAGED[0].is_dir() or shutil.which("systemctl") is None:
        return False
    command = ["systemctl", "daemon-reload"]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=_RELOAD_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()[:400]
        raise CaxtonError(Code.INTERNAL_ERROR, f"{' '.join(command)}: {said}") from error
    return True
