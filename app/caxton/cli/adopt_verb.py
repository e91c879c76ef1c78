"""`caxton cluster adopt`: an agent whose home is gone lives on this host's node from now on.

Owns the unpacking of a backup for it, and the question before. Must never decide whether the home is gone: the node
does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from caxton.cli.local import ask_router, configuration
from caxton.cli.render import emit_one
from caxton.cli.state import State, output_options, pass_state
from caxton.protocol.cluster_moves import Adopt

SECONDS: Final = 600.0
_PACKED: Final = ".db.gz"
_ADOPTED: Final = {"agent": "agent", "lives on": "node", "lived on": "giver", "epoch": "epoch"}


@click.command()
@click.argument("agent")
@click.option(
    "--from",
    "source",
    metavar="BACKUP",
    help="A backup of the lost node's state (path, or name in the backup directory), its database, an archive.",
)
@click.option(
    "--clean", is_flag=True, help="Without any state: keys, memory and waiting mail of the old home are lost."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_options
@pass_state
def adopt(state: State, agent: str, source: str | None, clean: bool, yes: bool) -> None:
    """Give AGENT, whose home is gone for good, a home on this host's node.

    What its old home accepted after the backup is lost, unless that returns: it starts nothing then, archives what it
    has and says so. Mail that waits on other nodes comes here.
    """
    if (source is None) is not clean:
        raise click.UsageError("say either what it is restored from (--from BACKUP), or --clean")
    if not yes:
        from caxton.cli.restore_verb import confirm

        confirm(f"Give {agent} a home here, {'without any state' if clean else f'from {source}'}?")
    with _opened(state, source) as path:
        arguments = Adopt(agent, None if path is None else str(path), clean)
        emit_one(state, ask_router(state, "cluster.adopt", arguments, timeout=SECONDS), _ADOPTED)


@contextmanager
def _opened(state: State, source: str | None) -> Iterator[Path | None]:
    """What the node can read: a backup is unpacked beside its data, and every byte of it checked before."""
    if source is None or not source.endswith(_PACKED):
        yield None if source is None else Path(source).absolute()
        return
    from caxton.backup import find
    from caxton.backup.files import give_to_owner, work_directory
    from caxton.backup.verify import open_state

    config = configuration(state).config
    path = find(Path(config.backup.directory).absolute(), source, "state")
    with work_directory(config.paths.data) as work:
        opened = open_state(path.absolute(), work)
        give_to_owner(work, config.paths.data)
        yield opened.database
