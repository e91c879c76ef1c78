"""`caxton topic …`: who gets what is published. `caxton message send topic:NAME` publishes.

Owns the verbs of topics. Must never deliver anything.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect, segment
from caxton.cli.render import emit_json, emit_page, emit_rows, note
from caxton.cli.state import State, output_options, page_options, pass_state

COLUMNS = {"TOPIC": "name", "SUBSCRIBERS": "count"}
SUBSCRIBERS = {"AGENT": "agent", "SINCE": "since"}


@click.group()
def topic() -> None:
    """See and change who subscribed to what."""


@topic.command("list")
@page_options
@output_options
@pass_state
def list_verb(state: State, **query: Any) -> None:
    """List topics that somebody subscribed to."""
    with connect(state) as client:
        page = client.get("/topics", **query)
    emit_page(state, page, COLUMNS)


@topic.command()
@click.argument("name")
@output_options
@pass_state
def show(state: State, name: str) -> None:
    """Show who subscribed to a topic."""
    with connect(state) as client:
        _show(state, client.get(f"/topics/{segment(name)}"))


@topic.command()
@click.argument("name")
@click.argument("agent")
@output_options
@pass_state
def subscribe(state: State, name: str, agent: str) -> None:
    """Subscribe AGENT to a topic."""
    with connect(state) as client:
        _show(state, client.post(f"/topics/{segment(name)}/subscribe", {"agent": agent}))


@topic.command()
@click.argument("name")
@click.argument("agent")
@output_options
@pass_state
def unsubscribe(state: State, name: str, agent: str) -> None:
    """End AGENT's subscription."""
    with connect(state) as client:
        _show(state, client.post(f"/topics/{segment(name)}/unsubscribe", {"agent": agent}))


def _show(state: State, found: dict[str, Any]) -> None:
    if state.as_json:
        emit_json(found)
        return
    note(state, f"{found['name']}: {found['count']} subscribers")
    emit_rows(state, found["subscribers"], SUBSCRIBERS)
