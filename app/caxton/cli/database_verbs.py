"""`caxton db status|upgrade`: the database of the node on this host.

Owns the verbs. Must never touch a database that a node has open.
"""

from __future__ import annotations

import click
import msgspec

from caxton.cli.failures import EXIT_FAILED
from caxton.cli.local import configuration
from caxton.cli.render import emit_json, emit_one, note
from caxton.cli.state import State, output_options, pass_state

COLUMNS = {"database": "database", "schema": "version", "this release": "head", "pending": "pending"}


@click.group()
def db() -> None:
    """The node's database."""


@db.command()
@output_options
@pass_state
def status(state: State) -> int:
    """Show the schema's version; exit 1 when a node cannot start on it."""
    from caxton.store import db_status

    path = configuration(state).config.paths.database
    found = db_status(path)
    emit_one(state, {"database": str(path), "exists": path.exists(), **msgspec.to_builtins(found)}, COLUMNS)
    usable = found.current or found.version == 0
    if not usable:
        newer = found.compat > found.head
        note(
            state,
            "written by a newer release: install that again" if newer else "take a backup, then: caxton db upgrade",
        )
    return 0 if usable else EXIT_FAILED


@db.command()
@output_options
@pass_state
def upgrade(state: State) -> None:
    """Bring the schema to this release. All or nothing.

    The node may run: on an older schema it takes no work, waits for this, and goes on by itself.
    """
    from caxton.audit import recorded
    from caxton.store import datalock, db_status, db_upgrade

    paths, applied = configuration(state).config.paths, list[str]()
    with datalock.hold(paths.data):
        if db_status(paths.database).version:
            with recorded(paths.data, "schema.upgrade", paths.database.name) as said:
                applied = said["applied"] = db_upgrade(paths.database)
        else:
            applied = db_upgrade(paths.database)  # a new one: there was nothing before it
    if state.as_json:
        emit_json({"database": str(paths.database), "applied": applied})
    else:
        note(state, f"applied: {', '.join(applied)}" if applied else "nothing to do")
