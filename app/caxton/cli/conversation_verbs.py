"""`caxton conversation …`: what was said, and where its protocols are.

Owns the verbs of conversations. Must never say anything in one.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect, segment
from caxton.cli.render import emit_json, emit_page, emit_rows, note
from caxton.cli.state import State, output_options, page_options, pass_state

COLUMNS = {
    "CONVERSATION": "conversation_id",
    "PROTOCOL": "protocol",
    "INITIATOR": "initiator",
    "PARTICIPANT": "participant",
    "STATE": "state",
    "STEPS": "steps",
    "DEADLINE": "deadline",
    "UPDATED": "updated_at",
}
TIMELINE = {
    "ACCEPTED": "accepted_at",
    "SENDER": "sender",
    "PERFORMATIVE": "performative",
    "RECEIVER": "receiver",
    "STATE": "state",
    "REPLY BY": "reply_by",
    "REPLIED": "reply.performative",
    "ERROR": "error.code",
    "MESSAGE": "message_id",
}


@click.group()
def conversation() -> None:
    """Follow conversations and their protocols."""


@conversation.command("list")
@click.option("--protocol", help="Only those that follow this one.")
@click.option("--state", "wanted", help="Only those in this state, e.g. agreed.")
@click.option("--agent", help="Only those with this party.")
@click.option("--open", "unended", is_flag=True, help="Only those that have not ended.")
@page_options
@output_options
@pass_state
def list_verb(state: State, wanted: str | None, unended: bool, **query: Any) -> None:
    """List conversations that follow a protocol, newest first."""
    with connect(state) as client:
        page = client.get("/conversations", state=wanted, open="true" if unended else None, **query)
    emit_page(state, page, COLUMNS)


@conversation.command()
@click.argument("conversation_id")
@click.option("--limit", type=click.IntRange(1, 200), default=200, show_default=True)
@click.option("--cursor", help="Earlier messages: where the page before began.")
@output_options
@pass_state
def show(state: State, conversation_id: str, **query: Any) -> None:
    """Show a conversation as a timeline."""
    with connect(state) as client:
        show_timeline(state, client.get(f"/conversations/{segment(conversation_id)}", **query))


def show_timeline(state: State, found: dict[str, Any]) -> None:
    """Every message with its state, and the protocols above them."""
    if state.as_json:
        emit_json(found)
        return
    if found["protocols"] and not state.quiet:
        emit_rows(state, found["protocols"], {name: key for name, key in COLUMNS.items() if name != "CONVERSATION"})
        click.echo()
    emit_rows(state, found["messages"], TIMELINE)
    if found.get("next_cursor"):
        note(state, f"earlier messages: --cursor {found['next_cursor']}")
