"""`caxton key …`: API keys, asked of the router on this host.

Owns the verbs of keys. Must never keep a key: it is printed once.
"""

from __future__ import annotations

import click

from caxton.cli.local import ask_router
from caxton.cli.render import emit_json, emit_page, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.protocol.operations import KeyCreate, Listing, Named

COLUMNS = {"KEY ID": "key_id", "SUBJECT": "subject", "CREATED": "created_at", "EXPIRES": "expires_at"}
COLUMNS |= {"REVOKED": "revoked_at"}


@click.group()
def key() -> None:
    """API keys of the node on this host; its socket is the credential."""


@key.command()
@click.option("--subject", required=True, help="Who will use it; in logs and as sender of messages.")
@click.option("--ttl", type=Duration(), help="How long it is good, e.g. 90d (default: no end).")
@output_options
@pass_state
def create(state: State, subject: str, ttl: float | None) -> None:
    """Make a key; it is printed once and kept nowhere."""
    made = ask_router(state, "key.create", KeyCreate(subject, ttl))
    if state.as_json:
        emit_json(made)
        return
    click.echo(made["key"])
    note(state, f"key {made['key_id']} of {subject}; keep it now, it cannot be shown again")


@key.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=200, show_default=True)
@output_options
@pass_state
def list_verb(state: State, limit: int) -> None:
    """List keys, without their secrets."""
    page = ask_router(state, "key.list", Listing(limit=limit))
    emit_page(state, page, COLUMNS)


@key.command()
@click.argument("key_id")
@output_options
@pass_state
def revoke(state: State, key_id: str) -> None:
    """Revoke a key for good; it is refused within a second."""
    answer = ask_router(state, "key.revoke", Named(key_id))
    if state.as_json:
        emit_json(answer)
    else:
        note(state, f"{answer['key_id']} of {answer['subject']} is revoked")
