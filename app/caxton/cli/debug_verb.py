"""`caxton debug`: everything that a node knows of one agent, as one file; and that file, opened.

Owns the verbs. Must never change anything on a node.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from caxton.cli.client import Client, connect, segment
from caxton.cli.debug_archive import Gathering, write
from caxton.cli.debug_story import read, story
from caxton.cli.failures import printable
from caxton.cli.private_files import write_private
from caxton.cli.render import note
from caxton.cli.state import State, pass_state
from caxton.protocol.errors import CaxtonError, Code


@click.group(invoke_without_command=True)
@click.option("--agent-id", "agent", help="Name or id of the agent.")
@click.option(
    "--output", "file", type=click.Path(path_type=Path), help="The archive. Default: caxton-debug-AGENT-TIME.tar.gz."
)
@click.option("-q", "--quiet", is_flag=True, help="Print results only.")
@pass_state
def debug(state: State, agent: str | None, file: Path | None, quiet: bool) -> None:
    """Collect what a node knows of one agent: `caxton debug --agent-id ID`, then `caxton debug open FILE`.

    Configuration, versions, history, mailbox, ledger, executions, recordings, log, traps, metrics, and its node. What
    sounds like a secret is masked; messages and keys are in it as they are.
    """
    state.quiet = quiet or state.quiet
    if click.get_current_context().invoked_subcommand is None:
        if agent is None:
            raise click.UsageError("--agent-id: which agent?")
        _collect(state, agent, file)


def _collect(state: State, agent: str, file: Path | None) -> None:
    with connect(state) as client:
        name = _name(client, agent)
        manifest, parts = Gathering(client, name).gather()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(manifest.at))
    target = file or Path(f"caxton-debug-{name.replace('/', '-')}-{stamp}.tar.gz")
    write_private(target, write(manifest, parts))
    for part, why in manifest.missing.items():
        note(state, f"not in it: {part}: {why}")
    click.echo(printable(str(target)))


@debug.command("open")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.argument("part", required=False)
@click.option("--output", type=click.Path(path_type=Path), help="Write PART to this file instead of the terminal.")
def open_file(file: Path, part: str | None, output: Path | None) -> None:
    """Show what matters of an archive: state, history, last executions, traps, the end of the log. Or one PART of it.

    The names of the parts are at the end.
    """
    manifest, parts = read(file)
    if part is None:
        for line in story(manifest, parts):
            click.echo(printable(line))
        return
    if part not in parts:
        raise CaxtonError(Code.INVALID_REQUEST, f"{part!r} is no part of {file}", expected=sorted(parts))
    if output is not None:
        write_private(output, parts[part])
    elif part.endswith(".rec") and sys.stdout.isatty():
        raise click.UsageError(f"{part} is not text: --output FILE, then `caxton replay FILE --module MODULE`")
    elif part.endswith(".rec"):
        sys.stdout.buffer.write(parts[part])
    else:
        for line in parts[part].decode("utf-8", "backslashreplace").splitlines():
            click.echo(printable(line))


def _name(client: Client, agent: str) -> str:
    """The name of the agent that is called so, has this id, or had either before it was removed.

    `AGENT_NOT_FOUND` for one that the node has never heard of.
    """
    try:
        return str(client.get(f"/agents/{segment(agent)}")["name"])
    except CaxtonError as error:
        if error.code is not Code.AGENT_NOT_FOUND:
            raise
        unknown = error
    found = _by_id(client, agent)
    if found is None:
        known = _removed(client, agent)
        found = known or next((row["name"] for row in client.get("/ledger")["agents"] if row["name"] == agent), None)
    if found is None:
        raise unknown
    return found


def _by_id(client: Client, agent_id: str) -> str | None:
    cursor = None
    while True:
        page = client.get("/agents", limit=200, cursor=cursor)
        for item in page["items"]:
            if item["agent_id"] == agent_id:
                return str(item["name"])
        cursor = page.get("next_cursor")
        if cursor is None:
            return None


def _removed(client: Client, agent: str) -> str | None:
    try:
        return str(client.get(f"/agents/{segment(agent)}/history", limit=1)["items"][0]["name"])
    except CaxtonError as error:
        if error.code is not Code.AGENT_NOT_FOUND:
            raise
        return None
