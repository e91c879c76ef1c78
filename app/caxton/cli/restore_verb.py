"""`caxton restore`: a backup becomes the state of the node on this host.

Owns the question before it and the account after it. Must never restore without being told to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from caxton.cli.local import configuration
from caxton.cli.render import emit_json, emit_one, emit_rows, note
from caxton.cli.state import State, output_options, pass_state

RESTORED: Final = {
    "backup": "file", "taken": "taken_at", "on node": "node", "messages": "rows.message", "ledger": "ledger",
    "agents": "agents", "modules": "modules", "old state": "before", "paused": "paused",
}  # fmt: skip
PENDING: Final = {"WILL RUN AGAIN": "agent", "MESSAGES": "count"}


@click.command()
@click.argument("file")
@click.option("--paused", is_flag=True, help="The node starts with scheduling paused, until `caxton resume`.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Instead of backup.directory of the configuration."
)
@output_options
@pass_state
def restore(state: State, file: str, paused: bool, yes: bool, directory: Path | None) -> None:
    """Put a backup in the place of the node's state. FILE: a path, a name in the backup directory, or `latest`.

    The node must be stopped. The old state is kept, in before-restore-<time> of the data directory. What had
    not ended when the backup was taken runs again.
    """
    from caxton.backup import find, restore

    config = configuration(state).config
    where = (directory or Path(config.backup.directory)).absolute()
    source = find(where, file, "state")
    if not yes:
        confirm(f"Replace the state in {config.paths.data} by {source}?")
    os.umask(0o027)
    done = restore(config, source, paused=paused)
    result = msgspec.to_builtins(done)
    if state.as_json:
        emit_json(result)
        return
    emit_one(state, result, RESTORED)
    if done.pending:
        emit_rows(state, result["pending"], PENDING)
    for line in done.notes:
        note(state, line)
    if done.paused:
        note(state, "start the node, look at it, then: caxton resume")


def confirm(question: str) -> None:
    """Goes on if the person at the terminal says yes."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: give --yes")
    click.confirm(question, abort=True)
