"""`caxton top`: what a node and its agents do now.

Owns the verb, and the choice between a screen and plain output. Must never count anything itself.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import Any, Final

import click

from caxton.cli.client import Client, connect
from caxton.cli.failures import exit_code_of, explain
from caxton.cli.render import cell, emit_json, emit_line, emit_rows
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.top_figures import FINAL, Frame, Watch, compare, look
from caxton.cli.top_screen import Live
from caxton.cli.top_show import COLUMNS, ORDERS, node_lines, ordered
from caxton.cli.values import Duration
from caxton.protocol.errors import CaxtonError

_SHORTEST: Final = 0.1
_LONGEST: Final = 3_600.0


@click.command()
@click.option("-d", "--delay", "seconds", type=Duration(), default=2.0, help="Between two looks; 2s if not given.")
@click.option("-n", "--iterations", type=click.IntRange(1), help="How many looks; for ever on a screen, else one.")
@click.option("--once", is_flag=True, help="One table and no screen, for scripts.")
@click.option("--sort", type=click.Choice(list(ORDERS)), default="rate", show_default=True, help="What comes first.")
@output_options
@pass_state
def top(state: State, seconds: float, iterations: int | None, once: bool, sort: str) -> int:
    """Show what a node and its agents do now, again and again.

    On a terminal a screen: r c m w f sort by rate, cpu, memory, what waits, failures; arrows and pages scroll; /
    filters by name; q ends it. Elsewhere, and with --once, -q or --output json, a table for each look.
    """
    if not _SHORTEST <= seconds <= _LONGEST:
        raise click.BadParameter("expected 0.1 seconds to one hour", param_hint="-d")
    with connect(state) as client:
        first = look(client)
        if once or state.as_json or state.quiet or not _is_screen():
            return _plain(state, Watch(client, first), seconds, 1 if once else iterations or 1, sort)
    # The screen's client is closed by the end of the program: a question may be under way when the user quits.
    watch = Watch(Client(client.target), first)
    Live(sort, iterations, colours=not os.environ.get("NO_COLOR")).run(watch, compare(None, first), seconds)
    return 0


def _is_screen() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _plain(state: State, watch: Watch, seconds: float, iterations: int, order: str) -> int:
    """A table for each look. One that fails is told and passed over, unless there is no other."""
    code = 0
    for number in range(iterations):
        time.sleep(seconds)
        try:
            frame = watch()
        except CaxtonError as error:
            if iterations == 1 or error.code in FINAL:
                raise
            click.echo(explain(error), err=True)
            code = exit_code_of(error)
            continue
        code = 0
        if state.as_json:
            (emit_json if iterations == 1 else emit_line)(_document(frame, order))
        else:
            _table(state, frame, order, apart=number > 0)
    return code


def _document(frame: Frame, order: str) -> dict[str, Any]:
    return {
        "node": frame.node,
        "rates": {"executions": frame.executions, "messages": frame.messages},
        "commit_seconds": frame.commit_seconds,
        "agents": [asdict(row) for row in ordered(frame, order)],
        "more": frame.more,
        "unreachable": frame.unreachable,
    }


def _table(state: State, frame: Frame, order: str, *, apart: bool) -> None:
    if not state.quiet:
        for line in [*([""] if apart else []), *node_lines(frame)]:
            click.echo(cell(line))
    columns = {"AGENT": "name", **{column.heading: column.heading for column in COLUMNS}}
    texts = {column.heading: column.text for column in COLUMNS}
    rows = [
        {"name": row.name, **{heading: text(row) for heading, text in texts.items()}} for row in ordered(frame, order)
    ]
    emit_rows(state, rows, columns)
