"""`caxton drain|undrain|pause|resume`: what the node on this host is allowed to do.

Owns these verbs. Must never reach another host: they go over the router's socket.
"""

from __future__ import annotations

import click

from caxton.cli.failures import EXIT_FAILED
from caxton.cli.local import TIMEOUT_SECONDS, ask_router
from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.protocol.operations import Drain, Nothing

COLUMNS = {"AGENT": "agent", "MESSAGE": "message_id", "STARTED": "started_at", "SECONDS": "duration_seconds"}


@click.command()
@click.option(
    "--wait", "wait", type=Duration(), default="60s", show_default=True, help="How long what runs may take to end."
)
@output_options
@pass_state
def drain(state: State, wait: float) -> int:
    """Take no new work, also after a restart, until `caxton undrain`; /ready answers 503 from now on.

    Prints what still ran after the wait and went back to its mailbox, and exits with 1 then.
    """
    answer = ask_router(state, "node.drain", Drain(wait), timeout=wait + TIMEOUT_SECONDS)
    running = answer["running"]
    if state.as_json:
        emit_json(answer)
    elif running:
        emit_rows(state, running, COLUMNS)
    if not answer["drained"]:
        note(state, "somebody undrained the node meanwhile")
    elif running:
        note(state, f"drained; {len(running)} executions did not end in time and went back to their mailboxes")
    else:
        note(state, "drained; nothing runs")
    return EXIT_FAILED if running or not answer["drained"] else 0


@click.command()
@output_options
@pass_state
def undrain(state: State) -> None:
    """Take work again."""
    ask_router(state, "node.undrain", Nothing())
    note(state, "undrained")


@click.command()
@output_options
@pass_state
def pause(state: State) -> None:
    """Start no executions, also after a restart, until `caxton resume`; messages are accepted on."""
    ask_router(state, "node.pause", Nothing())
    note(state, "paused")


@click.command()
@output_options
@pass_state
def resume(state: State) -> None:
    """Start executions again."""
    ask_router(state, "node.resume", Nothing())
    note(state, "resumed")
