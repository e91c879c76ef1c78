"""`caxton secret …`: agents' secrets.

Owns these verbs. Must never print a value, or take one from the command line, where every process of the host could
read it.
"""

from __future__ import annotations

import base64
import sys

import click

from caxton.cli.client import connect, decoded, segment
from caxton.cli.local import ask_router
from caxton.cli.render import emit_json, emit_page, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import read_file
from caxton.protocol.operations import Nothing

COLUMNS = {"NAME": "name", "VERSION": "version", "UPDATED": "updated_at", "KEY": "key_id", "READABLE": "readable"}


@click.group()
def secret() -> None:
    """Secrets that agents get by name and grant; none can be read back."""


@secret.command("set")
@click.argument("name")
@click.option("--from-file", "file", help="The value, as it is (default: standard input, a final line end removed).")
@output_options
@pass_state
def set_verb(state: State, name: str, file: str | None) -> None:
    """Set the secret NAME (or team/NAME). The next execution that asks for it gets this value."""
    value = read_file(file) if file is not None else _typed(name)
    with connect(state) as client:
        body = {"value_base64": base64.b64encode(value).decode()}
        made = decoded(client.send("PUT", f"/secrets/{segment(name)}", body=body))
    if state.as_json:
        emit_json(made)
    else:
        note(state, f"{made['name']} has version {made['version']}")


@secret.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=200, show_default=True)
@output_options
@pass_state
def list_verb(state: State, limit: int) -> None:
    """List secrets, without their values."""
    with connect(state) as client:
        emit_page(state, client.get("/secrets", limit=limit), COLUMNS)


@secret.command()
@click.argument("name")
@output_options
@pass_state
def remove(state: State, name: str) -> None:
    """Remove a secret for good."""
    with connect(state) as client:
        answer = client.delete(f"/secrets/{segment(name)}")
    if state.as_json:
        emit_json(answer)
    else:
        note(state, f"{name} is removed")


@secret.command()
@output_options
@pass_state
def rekey(state: State) -> None:
    """Encrypt what previous_secrets_key encrypted with secrets_key, on the node of this host."""
    done = ask_router(state, "secret.rekey", Nothing())
    if state.as_json:
        emit_json(done)
        return
    note(state, f"{done['count']} secrets are encrypted with the key {done['key_id']} now")
    if done["unreadable"]:
        note(state, f"their keys are not here: {', '.join(done['unreadable'])}; set them again")


def _typed(name: str) -> bytes:
    """From standard input; at a terminal it is asked for and not shown."""
    if sys.stdin.isatty():
        typed: str = click.prompt(f"value of {name}", hide_input=True, err=True)
        return typed.encode()
    return sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
