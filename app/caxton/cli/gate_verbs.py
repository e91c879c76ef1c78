"""`caxton drain|undrain|pause|resume`: what the node on this host is allowed to do.

Owns these verbs. Must never reach another host: they go over the router's socket.
"""

from __future__ import annotations

import click

from caxton.cli.cluster_show import show_drained
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

    In a cluster, agents with durable state move to other nodes. Exits with 1 if something still ran after the wait,
    which went back to its mailbox, or if an agent could not move.
    """
    answer = ask_router(state, "node.drain", Drain(wait), timeout=wait + TIMEOUT_SECONDS)
    running = answer["running"]
    if state.as_json:
        emit_json(answer)
    elif running:
        emit_rows(state, running, COLUMNS)
    if not state.as_json:
        show_drained(state, answer)
    return EXIT_FAILED if running or answer.get("kept") or not answer["drained"] else 0


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
