"""`caxton key …`: API keys, asked of the router on this host.

Owns the verbs of keys. Must never keep a key: it is printed once, or written where root alone reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caxton.cli.access import ScopeOptions, scope_options
from caxton.cli.bootstrap_file import forget, write
from caxton.cli.local import ask_router, configuration
from caxton.cli.render import emit_json, emit_page, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.protocol.operations import KeyCreate, KeyRotate, Listing, Named, Nothing

COLUMNS = {"KEY ID": "key_id", "SUBJECT": "subject", "ROLE": "role", "NAMESPACE": "namespace", "AGENTS": "agents"}
COLUMNS |= {"CREATED": "created_at", "EXPIRES": "expires_at", "REVOKED": "revoked_at"}


@click.group()
def key() -> None:
    """API keys of the node on this host; its socket is the credential."""


@key.command()
@click.option("--subject", required=True, help="Who will use it; in logs and as sender of messages.")
@scope_options("CAXTON_KEY_ROLE")
@click.option("--ttl", type=Duration(), help="How long it is good, e.g. 90d (default: no end).")
@output_options
@pass_state
def create(state: State, subject: str, ttl: float | None, **scope: Any) -> None:
    """Make a key; it is printed once and kept nowhere. A subject has at most two that live."""
    made = ask_router(state, "key.create", KeyCreate(subject, ScopeOptions(**scope).scope(), ttl))
    if state.as_json:
        emit_json(made)
        return
    click.echo(made["key"])
    note(state, f"key {made['key_id']} of {subject} ({made['role']}); keep it now, it cannot be shown again")


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


@key.command()
@click.argument("key_id")
@click.option("--overlap", type=Duration(), default="1d", show_default=True, help="How long the old key goes on.")
@click.option("--ttl", type=Duration(), help="How long the new key is good (default: no end).")
@output_options
@pass_state
def rotate(state: State, key_id: str, overlap: float, ttl: float | None) -> None:
    """Make a key that takes the place of this one; it may do the same, and is printed once."""
    answer = ask_router(state, "key.rotate", KeyRotate(key_id, overlap, ttl))
    if state.as_json:
        emit_json(answer)
        return
    click.echo(answer["made"]["key"])
    note(state, f"key {answer['made']['key_id']}; {key_id} ends at {answer['ends']['expires_at']}")


@key.command()
@click.option("--file", "path", type=click.Path(path_type=Path), required=True, help="Where root alone reads it.")
@output_options
@pass_state
def bootstrap(state: State, path: Path) -> None:
    """Write the first key of a node into a file, or remove that file when it is of no use any more.

    The key may do everything, for a day and until another key is made that may; the unit caxton-bootstrap calls this.
    """
    needed = configuration(state).config.security.auth_enabled
    made = ask_router(state, "key.bootstrap", Nothing()) if needed else None
    if made is None:
        forget(path)
        note(state, "no bootstrap key is needed: an administrator has a key, or the node asks for none")
        return
    write(path, made["key"])
    note(state, f"{path} has a key that is good until {made['expires_at']}, or until an administrator has one")
