"""`caxton dev run` and `caxton dev watch`: an agent on the node's executor, without a node.

Owns the two verbs. Must never deploy anywhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from caxton.cli.deployment import config_options
from caxton.cli.dev_input import FORMS, agent_config, messages_of, read_messages, read_secrets
from caxton.cli.dev_show import show_agent, show_costs, show_report
from caxton.cli.dev_watch import changed
from caxton.cli.failures import EXIT_FAILED, explain
from caxton.cli.interrupts import terminable
from caxton.cli.render import note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import read_file
from caxton.dev import Desk, desk
from caxton.protocol.errors import CaxtonError

Command = Callable[..., Any]
_OPTIONS = (
    click.argument("agent"),
    click.option(
        "--file", "node_file", type=click.Path(path_type=Path), help="The node's TOML file: its limits count."
    ),
    click.option(
        "--as",
        "form",
        type=click.Choice(FORMS),
        default="content",
        show_default=True,
        help="content: a message a line, JSON or else text. message: a line has the fields of an invocation. "
        "text: all of it is one message.",
    ),
    click.option(
        "--secrets",
        "secrets_file",
        type=click.Path(path_type=Path),
        envvar="CAXTON_DEV_SECRETS",
        help="A file of NAME=VALUE lines: what an agent with the grant gets.",
    ),
)


def _agent_options(command: Command) -> Command:
    command = config_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def dev() -> None:
    """Run an agent here, without a node."""


@dev.command()
@_agent_options
@output_options
@pass_state
def run(
    state: State, agent: str, form: str, node_file: Path | None, secrets_file: Path | None, **options: Any
) -> int:
    """Run AGENT (.wasm or .wat) on messages from stdin: `caxton dev run AGENT < messages`.

    The same executor as a node's, for this command only: the same compile jail, limits and host functions. Keys, and
    memory with snapshots, are kept until the last message; a message to another agent goes nowhere, `request` answers
    UNAVAILABLE. Exit 1 when a message failed.
    """
    if agent == "-":
        raise click.UsageError("the messages come from stdin: the agent must be a file")
    data, secrets = read_messages(None), read_secrets(secrets_file)

    async def once() -> bool:
        async with desk(node_file or state.config_file, os.environ, secrets) as at:
            return await _rehearse(state, at, agent, data, form, options)

    with terminable():
        return 0 if asyncio.run(once()) else EXIT_FAILED


@dev.command()
@_agent_options
@click.option("--messages", type=click.Path(path_type=Path), help="A file instead of stdin; its changes count too.")
@output_options
@pass_state
def watch(
    state: State,
    agent: str,
    form: str,
    node_file: Path | None,
    secrets_file: Path | None,
    messages: Path | None,
    **options: Any,
) -> None:
    """Run AGENT on its messages again whenever its file, its configuration or its messages change.

    Every time it is deployed anew, with empty keys. What is wrong with it is said, and the next change awaited.
    Ctrl-C ends it.
    """
    if agent == "-":
        raise click.UsageError("what is watched must be a file")
    data, secrets = None if messages else read_messages(None), read_secrets(secrets_file)
    files = tuple(Path(one) for one in (agent, options["config_file"], messages) if one is not None)

    async def always() -> None:
        seen = None
        async with desk(node_file or state.config_file, os.environ, secrets) as at:
            while True:
                seen = await changed(files, seen)
                try:
                    await _rehearse(state, at, agent, data or read_messages(messages), form, options)
                except CaxtonError as error:
                    click.echo(explain(error), err=True)
                except click.UsageError as error:
                    error.show()
                note(state, f"waiting for a change of {', '.join(map(str, files))}; Ctrl-C ends it")

    try:
        with terminable():
            asyncio.run(always())
    except KeyboardInterrupt:
        return


async def _rehearse(state: State, at: Desk, file: str, data: bytes, form: str, options: dict[str, Any]) -> bool:
    """Deploys the agent and gives it the messages; whether all of them went well."""
    config = agent_config(file, options["config_file"], options)
    messages = messages_of(data, form, config.name, at.max_message_bytes)
    agent = await at.deploy(read_file(file), config)
    show_agent(state, agent)
    reports = []
    for number, message in enumerate(messages, 1):
        report = await at.run(message)
        show_report(state, number, report)
        reports.append(report)
    show_costs(state, agent.limits, reports)
    if not reports:
        note(state, "there was no message: it starts, nothing more was tried")
    return not any(report.failed for report in reports)
