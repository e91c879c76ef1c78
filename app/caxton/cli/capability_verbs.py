"""`caxton capability …`: who offers what.

Owns the verbs of capabilities. Must never choose an agent.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect, decoded, segment
from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, page_options, pass_state

COLUMNS = {"CAPABILITY": "name", "STRATEGY": "strategy", "AGENTS": "agents", "AVAILABLE": "available"}
PROVIDERS = {
    "AGENT": "agent",
    "SOURCE": "source",
    "AVAILABLE": "available",
    "LOAD": "load",
    "PRIORITY": "priority",
}


@click.group()
def capability() -> None:
    """See and register who offers what."""


@capability.command("list")
@page_options
@output_options
@pass_state
def list_verb(state: State, **query: Any) -> None:
    """List capabilities and the agents that offer them."""
    with connect(state) as client:
        page = client.get("/capabilities", **query)
    items = page["items"]
    if not state.as_json:
        items = [
            {
                **one,
                "agents": [provider["agent"] for provider in one["providers"]],
                "available": sum(provider["available"] for provider in one["providers"]),
            }
            for one in items
        ]
    emit_rows(state, items, COLUMNS, more=bool(page.get("next_cursor")))


@capability.command()
@click.argument("name")
@output_options
@pass_state
def show(state: State, name: str) -> None:
    """Show who offers a capability."""
    with connect(state) as client:
        _show(state, client.get(f"/capabilities/{segment(name)}"))


@capability.command("set")
@click.argument("name")
@click.option(
    "--strategy",
    type=click.Choice(["least_load", "round_robin", "priority"]),
    default="least_load",
    show_default=True,
)
@click.option("--agent", "agents", multiple=True, help="NAME or NAME=PRIORITY (1 to 10); again for more.")
@output_options
@pass_state
def set_verb(state: State, name: str, strategy: str, agents: tuple[str, ...]) -> None:
    """Register how an agent is chosen, and agents that do not say themselves that they offer it."""
    body = {"strategy": strategy, "providers": [_provider(text) for text in agents]}
    with connect(state) as client:
        _show(state, decoded(client.send("PUT", f"/capabilities/{segment(name)}", body=body)))


@capability.command()
@click.argument("name")
@output_options
@pass_state
def remove(state: State, name: str) -> None:
    """Forget what was registered of a capability."""
    with connect(state) as client:
        answer = client.delete(f"/capabilities/{segment(name)}")
    if state.as_json:
        emit_json(answer)
    else:
        note(state, f"what was registered of {name} is forgotten")


def _provider(text: str) -> dict[str, Any]:
    agent, given, priority = text.partition("=")
    if not given:
        return {"agent": agent}
    if not priority.isdecimal():
        raise click.BadParameter(f"{text!r}: NAME or NAME=PRIORITY", param_hint="--agent")
    return {"agent": agent, "priority": int(priority)}


def _show(state: State, found: dict[str, Any]) -> None:
    if state.as_json:
        emit_json(found)
        return
    note(state, f"{found['name']}: {found['strategy']}")
    emit_rows(state, found["providers"], PROVIDERS)
