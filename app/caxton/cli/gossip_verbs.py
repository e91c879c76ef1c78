"""`caxton gossip`: serf, as the node's configuration wants it; and the keys that it encrypts with.

Owns these verbs. Must never show a key, nor take one from the command line, which others can read.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import asdict, replace
from typing import Final

import click

from caxton.cli.render import emit_json, emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import read_file
from caxton.cluster.gossip import rendering
from caxton.cluster.gossip.keys import Keys, change, listed
from caxton.config import Config, load
from caxton.config.problems import Rejected
from caxton.config.sections import KEYS
from caxton.config.weakness import problems_of_key
from caxton.protocol.errors import CaxtonError, Code
from caxton.telemetry import set_up_logging

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED: Final = frozenset(key for key in KEYS if key.startswith("coordination.")) | {"networking.bind_address"}
COLUMNS: Final = {"KEY": "fingerprint", "NODES": "nodes"}

EXIT_NOT_WANTED: Final = 78
"""EX_CONFIG of sysexits.h: the unit takes it for an end that needs no start."""


@click.group()
def gossip() -> None:
    """serf, as the configuration wants it, and the keys that it encrypts with."""


@gossip.command()
@click.option("--if-wanted", is_flag=True, help="end with exit 78 where the configuration wants none")
@output_options
@pass_state
def run(state: State, *, if_wanted: bool) -> None:
    """Run serf in the foreground, which tells the nodes of a cluster who is alive.

    Its configuration is made of [coordination]; `caxton serve` and caxton-gossip.service run this.
    """
    config = _configuration(state)
    if not config.coordination.cluster_enabled:
        if if_wanted:
            raise SystemExit(EXIT_NOT_WANTED)
        raise CaxtonError(Code.CONFLICT, "coordination.cluster_enabled is false: a node that is alone runs no serf")
    serf = shutil.which("serf", path=_PATH)
    if serf is None:
        raise CaxtonError(Code.NOT_READY, f"serf is not installed: apt install serf (looked in {_PATH})")
    os.umask(0o077)
    set_up_logging(replace(config.observability, log_file=None), "gossip")  # where serf says what it has to say
    try:
        file = rendering.write(config)
        # With nothing of our environment: it may hold secrets, and serf talks to others.
        os.execve(serf, [serf, "agent", "-config-file", str(file)], {"PATH": _PATH})  # nosec B606 # no shell
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise CaxtonError(Code.INTERNAL_ERROR, f"cannot start serf: {where}{error.strerror or error}") from None


@gossip.group()
def keys() -> None:
    """The keys that gossip is encrypted with, on all nodes."""


@keys.command("list")
@output_options
@pass_state
def list_keys(state: State) -> None:
    """Which keys there are, by their fingerprints, and on how many nodes."""
    _show(state, asyncio.run(listed(_configuration(state))))


@keys.command()
@click.argument("file", default="-")
@output_options
@pass_state
def install(state: State, file: str) -> None:
    """Let every node understand the key in FILE (stdin) too."""
    _change(state, "install", file)


@keys.command()
@click.argument("file", default="-")
@output_options
@pass_state
def use(state: State, file: str) -> None:
    """Have every node encrypt with the key in FILE (stdin), which is installed."""
    _change(state, "use", file)


@keys.command()
@click.argument("file", default="-")
@output_options
@pass_state
def prune(state: State, file: str) -> None:
    """Have every node forget all keys but the one in FILE (stdin), which is in use."""
    _change(state, "prune", file)


def _change(state: State, verb: str, file: str) -> None:
    _show(state, asyncio.run(change(_configuration(state), verb, _key(file))))


def _key(file: str) -> str:
    """The key in a file, good enough for the configuration."""
    text = read_file(file).decode("utf-8", "replace").strip()
    try:
        KEYS["coordination.encrypt_key"].check(text)
    except Rejected as rejected:
        raise click.UsageError(f"the key: expected {rejected.expected}") from None
    for problem in problems_of_key("the key", text, "make one: openssl rand -base64 32"):
        raise click.UsageError(problem.line())
    return text


def _show(state: State, found: Keys) -> None:
    if state.as_json:
        emit_json(asdict(found))
        return
    emit_rows(state, [asdict(key) for key in found.keys], COLUMNS)
    note(state, f"{found.nodes} nodes")


def _configuration(state: State) -> Config:
    """As `serve` finds it; secrets of other parts may be missing here."""
    return load(state.config_file, os.environ, needed=_NEEDED).config
