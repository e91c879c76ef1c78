"""`caxton agent schedules|http-calls|executions|recordings|history`.

Owns which columns people see. Must never change an agent.
"""

from __future__ import annotations

import click

from caxton.cli.client import connect, segment
from caxton.cli.render import emit_page, emit_rows
from caxton.cli.state import State, output_options, page_options, pass_state

SCHEDULES = {
    "NAME": "name",
    "CRON": "cron",
    "TIME ZONE": "time_zone",
    "MISFIRE": "misfire",
    "NEXT DUE": "next_due",
    "LAST DUE": "last_due",
}
HTTP_CALLS = {
    "AT": "at",
    "METHOD": "method",
    "URL": "url",
    "STATUS": "status",
    "BYTES": "response_bytes",
    "SECONDS": "duration_seconds",
    "ERROR": "error",
}
EXECUTIONS = {
    "EXECUTION": "id",
    "AT": "at",
    "STATUS": "status",
    "CODE": "code",
    "SECONDS": "duration_seconds",
    "CPU": "cpu_seconds",
    "MEMORY": "peak_memory_bytes",
    "FUEL": "fuel",
    "MESSAGE": "message_id",
}
RECORDINGS = {"EXECUTION": "execution", "AT": "at", "BYTES": "bytes"}
HISTORY = {"AT": "at", "STATUS": "status", "VERSION": "version", "REASON": "reason"}


@click.command()
@click.argument("name")
@output_options
@pass_state
def schedules(state: State, name: str) -> None:
    """Show when an agent's schedules are due next."""
    with connect(state) as client:
        emit_rows(state, client.get(f"/agents/{segment(name)}/schedules")["items"], SCHEDULES)


@click.command("http-calls")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@output_options
@pass_state
def http_calls(state: State, name: str, limit: int) -> None:
    """List what an agent asked of the outside, newest first."""
    _page(state, name, "http-calls", HTTP_CALLS, limit=limit)


@click.command()
@click.argument("name")
@page_options
@output_options
@pass_state
def executions(state: State, name: str, limit: int, cursor: str | None) -> None:
    """List an agent's executions, newest first; those that are recorded too: `caxton agent recordings`."""
    _page(state, name, "executions", EXECUTIONS, limit=limit, cursor=cursor)


@click.command()
@click.argument("name")
@page_options
@output_options
@pass_state
def history(state: State, name: str, limit: int, cursor: str | None) -> None:
    """List what became of an agent, newest first: by its name, or by its id when it was removed."""
    _page(state, name, "history", HISTORY, limit=limit, cursor=cursor)


@click.command()
@click.argument("name")
@page_options
@output_options
@pass_state
def recordings(state: State, name: str, limit: int, cursor: str | None) -> None:
    """List the executions of an agent that `caxton replay` can run again, newest first."""
    _page(state, name, "recordings", RECORDINGS, limit=limit, cursor=cursor)


def _page(state: State, name: str, part: str, columns: dict[str, str], **query: int | str | None) -> None:
    with connect(state) as client:
        page = client.get(f"/agents/{segment(name)}/{part}", **query)
    emit_page(state, page, columns)
