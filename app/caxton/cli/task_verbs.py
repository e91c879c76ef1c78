"""`caxton task …`: work for the best bidder.

Owns the verbs of tasks. Must never choose a bid.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from caxton.cli.client import connect, decoded, segment
from caxton.cli.render import emit_json, emit_one, emit_page, emit_rows, note
from caxton.cli.state import State, output_options, page_options, pass_state
from caxton.cli.values import Duration, content_of

COLUMNS = {
    "TASK": "task_id",
    "STATE": "state",
    "CAPABILITY": "capability",
    "WINNER": "winner",
    "CREATED": "created_at",
    "ERROR": "error.code",
}
DETAILS = {
    "task": "task_id",
    "state": "state",
    "capability": "capability",
    "owner": "owner",
    "content": "content",
    "select": "select",
    "bids until": "reply_by",
    "work until": "finish_by",
    "created": "created_at",
    "finished": "finished_at",
    "winner": "winner",
    "result": "result",
    "error": "error.code",
    "why": "error.message",
}
BIDS = {"AGENT": "agent", "STATE": "state", "AT": "at", "VALUE": "value", "CONTENT": "content"}


@click.group()
def task() -> None:
    """Have work done by the best bidder."""


@task.command()
@click.argument("capability")
@click.argument("content", required=False)
@click.option("--file", help="Take the content from a file (- is stdin).")
@click.option("--text", is_flag=True, help="The content is text, even if it could be JSON.")
@click.option("--field", help="The least number at this field of a bid wins, e.g. price.")
@click.option("--most", is_flag=True, help="The greatest number wins instead.")
@click.option("--chooser", help="An agent that is asked which bid wins.")
@click.option("--bids-within", type=Duration(), default="30s", show_default=True, help="How long bids are taken.")
@click.option("--done-within", type=Duration(), help="How long after that the work may take, e.g. 10m.")
@click.option("--idempotency-key", help="The same key again is the same task.")
@output_options
@pass_state
def create(
    state: State, capability: str, content: str | None, file: str | None, text: bool, most: bool, **given: Any
) -> None:
    """Call every agent that offers CAPABILITY for a proposal to do CONTENT."""
    if (given["field"] is None) == (given["chooser"] is None):
        raise click.UsageError("give --field NAME or --chooser AGENT")
    select = {"chooser": given["chooser"]} if given["chooser"] else {"field": given["field"]}
    if most:
        select["order"] = "max"
    until = datetime.now(UTC) + timedelta(seconds=given["bids_within"])
    body = {"capability": capability, "content": content_of(content, file, text), "select": select}
    body["reply_by"] = until.isoformat()
    if given["done_within"]:
        body["finish_by"] = (until + timedelta(seconds=given["done_within"])).isoformat()
    headers = {"Idempotency-Key": given["idempotency_key"]} if given["idempotency_key"] else {}
    with connect(state) as client:
        found = decoded(client.send("POST", "/tasks", body=body, headers=headers))
    if state.as_json:
        emit_json(found)
        return
    click.echo(found["task_id"])
    note(state, f"{len(found['bids'])} agents are called; follow it: caxton task show {found['task_id']}")


@task.command()
@click.argument("task_id")
@output_options
@pass_state
def show(state: State, task_id: str) -> None:
    """Show a task, its bids and its result."""
    with connect(state) as client:
        _show(state, client.get(f"/tasks/{segment(task_id)}"))


@task.command("list")
@click.option(
    "--state",
    "wanted",
    type=click.Choice(["calling", "choosing", "awarded", "done", "failed", "cancelled"]),
    help="Only those in this state.",
)
@click.option("--capability", help="Only those for this.")
@page_options
@output_options
@pass_state
def list_verb(state: State, wanted: str | None, **query: Any) -> None:
    """List tasks, newest first."""
    with connect(state) as client:
        page = client.get("/tasks", state=wanted, **query)
    emit_page(state, page, COLUMNS)


@task.command()
@click.argument("task_id")
@output_options
@pass_state
def cancel(state: State, task_id: str) -> None:
    """Cancel a task that has not ended."""
    with connect(state) as client:
        found = client.delete(f"/tasks/{segment(task_id)}")
    if state.as_json:
        emit_json(found)
    else:
        note(state, f"{found['task_id']} is {found['state']}")


def _show(state: State, found: dict[str, Any]) -> None:
    emit_one(state, found, DETAILS)
    if not state.as_json and found.get("bids"):
        click.echo()
        emit_rows(state, found["bids"], BIDS)
