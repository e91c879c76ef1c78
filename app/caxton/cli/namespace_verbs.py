"""`caxton namespace …`: quotas of namespaces, and what is used of them.

Owns the verbs of namespaces. Must never judge a quota: the node does.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect, decoded, segment
from caxton.cli.render import emit_json, emit_page, emit_rows, note
from caxton.cli.state import State, output_options, page_options, pass_state
from caxton.cli.values import Size

COLUMNS = {"NAMESPACE": "name", "AGENTS": "agents", "STORED": "stored_bytes", "MESSAGES": "messages", "HELD": "held"}
QUOTAS = {"QUOTA": "quota", "USED": "used", "LIMIT": "limit", "REFUSED": "refused"}
_RATE = click.FloatRange(min=0, min_open=True)
_USED = {"messages_per_second": "messages", "cpu_seconds_per_minute": "cpu_seconds"}
"""What stands beside a rate: the count since the router began."""


@click.group()
def namespace() -> None:
    """See and set what each namespace may use."""


@namespace.command("list")
@page_options
@output_options
@pass_state
def list_verb(state: State, **query: Any) -> None:
    """List namespaces with agents or quotas."""
    with connect(state) as client:
        page = client.get("/namespaces", **query)
    if not state.as_json:
        page = {**page, "items": [{"name": item["name"], **item["usage"]} for item in page["items"]]}
    emit_page(state, page, COLUMNS)


@namespace.command()
@click.argument("name")
@output_options
@pass_state
def show(state: State, name: str) -> None:
    """Show a namespace's quotas, and what it uses."""
    with connect(state) as client:
        _show(state, client.get(f"/namespaces/{segment(name)}"))


@namespace.command("set")
@click.argument("name")
@click.option("--agents", type=click.IntRange(min=0), help="How many agents it may have.")
@click.option("--messages-per-second", type=_RATE, help="Messages accepted a second.")
@click.option("--stored-bytes", type=Size(), help="Waiting messages, dead letters, keys, snapshots; such as 500MB.")
@click.option("--cpu-seconds-per-minute", type=_RATE, help="CPU time of its agents.")
@output_options
@pass_state
def set_verb(state: State, name: str, **quota: Any) -> None:
    """Replace a namespace's quotas: what is not given is not limited any more."""
    given = {key: value for key, value in quota.items() if value is not None}
    with connect(state) as client:
        _show(state, decoded(client.send("PUT", f"/namespaces/{segment(name)}", body=given)))


@namespace.command()
@click.argument("name")
@output_options
@pass_state
def remove(state: State, name: str) -> None:
    """Remove a namespace's quotas; its agents stay."""
    with connect(state) as client:
        found = client.delete(f"/namespaces/{segment(name)}")
    if state.as_json:
        emit_json(found)
    else:
        note(state, f"{name}: no quotas")


def _show(state: State, found: dict[str, Any]) -> None:
    if state.as_json:
        emit_json(found)
        return
    usage, quota = found["usage"], found["quota"]
    note(state, f"{found['name']}: {'held until a rate has room again' if usage['held'] else 'runs'}")
    rows = [
        {
            "quota": name,
            "used": usage[_USED.get(name, name)],
            "limit": quota.get(name),
            "refused": usage["refused"].get(name),
        }
        for name in ("agents", "messages_per_second", "stored_bytes", "cpu_seconds_per_minute")
    ]
    emit_rows(state, rows, QUOTAS)
