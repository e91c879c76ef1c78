"""`caxton dlq …`: messages that nobody could handle.

Owns the verbs of dead letters. Must never throw one away unasked.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect, segment
from caxton.cli.message_verbs import COLUMNS, DETAILS
from caxton.cli.render import emit_json, emit_one, emit_page, note
from caxton.cli.state import State, output_options, page_options, pass_state
from caxton.cli.values import content_of


@click.group()
def dlq() -> None:
    """Look after dead letters."""


@dlq.command("list")
@click.option("--agent", help="Only those of this agent.")
@page_options
@output_options
@pass_state
def list_verb(state: State, **query: Any) -> None:
    """List dead letters, newest first."""
    with connect(state) as client:
        page = client.get("/dead-letters", **query)
    emit_page(state, page, COLUMNS)


@dlq.command()
@click.argument("message_id")
@output_options
@pass_state
def show(state: State, message_id: str) -> None:
    """Show a dead letter and why it died."""
    with connect(state) as client:
        emit_one(state, client.get(f"/dead-letters/{segment(message_id)}"), DETAILS)


@dlq.command()
@click.argument("message_ids", nargs=-1)
@click.option("--agent", help="All of this agent.")
@click.option("--to", help="Into this agent's mailbox instead.")
@click.option("--version", type=click.IntRange(1), help="This kept version of their agent handles them.")
@output_options
@pass_state
def replay(
    state: State, message_ids: tuple[str, ...], agent: str | None, to: str | None, version: int | None
) -> None:
    """Put dead letters back into their mailboxes."""
    if bool(message_ids) == (agent is not None):
        raise click.UsageError("give ids of messages, or --agent NAME")
    body = {"message_ids": list(message_ids), "agent": agent, "to": to, "version": version}
    with connect(state) as client:
        answer = client.post("/dead-letters/replay", {key: value for key, value in body.items() if value})
    _count(state, answer, "replayed")


@dlq.command()
@click.argument("message_id")
@click.argument("content", required=False)
@click.option("--file", help="Take the content from a file (- is stdin).")
@click.option("--text", is_flag=True, help="The content is text, even if it could be JSON.")
@click.option("--to", help="Into this agent's mailbox instead.")
@output_options
@pass_state
def edit(state: State, message_id: str, content: str | None, file: str | None, text: bool, to: str | None) -> None:
    """Put one dead letter back with other CONTENT (JSON, else text)."""
    if content is None and file is None:
        raise click.UsageError("give the new content, or --file; `caxton dlq replay` tries the old one again")
    body = {"content": content_of(content, file, text)} | ({"to": to} if to else {})
    with connect(state) as client:
        answer = client.post(f"/dead-letters/{segment(message_id)}/replay", body)
    _count(state, answer, "replayed")


@dlq.command()
@click.argument("message_id")
@output_options
@pass_state
def skip(state: State, message_id: str) -> None:
    """Let the conversation go on that waits for a dead letter."""
    with connect(state) as client:
        answer = client.post(f"/dead-letters/{segment(message_id)}/skip")
    _count(state, answer, "skipped")


@dlq.command()
@click.argument("message_ids", nargs=-1)
@click.option("--agent", help="All of this agent.")
@click.option("--all", "everything", is_flag=True, help="All of the node.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_options
@pass_state
def purge(state: State, message_ids: tuple[str, ...], agent: str | None, everything: bool, yes: bool) -> None:
    """Throw dead letters away for good."""
    if sum((bool(message_ids), agent is not None, everything)) != 1:
        raise click.UsageError("give ids of messages, or --agent NAME, or --all")
    if not yes:
        whose = f"{len(message_ids)} dead letters" if message_ids else f"all dead letters of {agent or 'the node'}"
        click.confirm(f"throw {whose} away for good?", abort=True, err=True)
    body = {"message_ids": list(message_ids), "agent": agent, "everything": everything}
    with connect(state) as client:
        answer = client.post("/dead-letters/purge", {key: value for key, value in body.items() if value})
    _count(state, answer, "purged")


def _count(state: State, answer: dict[str, int], done: str) -> None:
    if state.as_json:
        emit_json(answer)
    else:
        note(state, f"{answer['count']} {done}")
