"""`caxton agent invoke` and `caxton agent logs`.

Owns how replies and log lines are printed. Must never interpret them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click
import msgspec

from caxton.cli.client import Client, connect, decoded, segment
from caxton.cli.failures import EXIT_FAILED, printable
from caxton.cli.following import follow
from caxton.cli.render import cell, emit_json, emit_line, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration, content_of
from caxton.protocol.views import LogView

MARGIN_SECONDS = 15.0


@click.command()
@click.argument("name")
@click.argument("content", required=False)
@click.option("--file", help="Take the content from a file (- is stdin).")
@click.option("--text", is_flag=True, help="The content is text, even if it could be JSON.")
@click.option("--performative", default="request", show_default=True)
@click.option("--timeout", type=Duration(), help="How long to wait for the reply, e.g. 5s.")
@click.option("--durable", is_flag=True, help="On disk before it runs; it is retried.")
@click.option("--conversation", "conversation_id")
@click.option("--idempotency-key", help="The same key again gives the first answer.")
@output_options
@pass_state
def invoke(state: State, name: str, content: str | None, file: str | None, text: bool, **options: Any) -> int:
    """Send CONTENT (JSON, else text) to an agent and print its reply.

    Exit 1 when the agent answers `failure`.
    """
    body: dict[str, Any] = {"content": content_of(content, file, text), "performative": options["performative"]}
    if options["timeout"] is not None:
        body["timeout_seconds"] = options["timeout"]
    if options["durable"]:
        body["delivery"] = "durable"
    if options["conversation_id"]:
        body["conversation_id"] = options["conversation_id"]
    headers = {"Idempotency-Key": options["idempotency_key"]} if options["idempotency_key"] else {}
    patience = (options["timeout"] or 3600.0) + MARGIN_SECONDS  # without --timeout the agent's own limit decides
    with connect(state) as client:
        path = f"/agents/{segment(name)}/invoke"
        answer = decoded(client.send("POST", path, body=body, headers=headers, timeout=patience))
    _print_reply(state, answer)
    return EXIT_FAILED if answer["performative"] == "failure" else 0


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@output_options
@pass_state
def logs(state: State, name: str, follow: bool, limit: int) -> None:
    """Print an agent's log."""
    path = f"/agents/{segment(name)}/logs"
    with connect(state) as client:
        if follow:
            _follow(client, path, limit, state)
            return
        items = client.get(path, limit=limit)["items"]
    if state.as_json:
        emit_json(items)
        return
    for item in items:
        _print_line(msgspec.convert(item, LogView))


def _follow(client: Client, path: str, limit: int, state: State) -> None:
    show = (lambda line: emit_line(msgspec.to_builtins(line))) if state.as_json else _print_line
    with suppress(KeyboardInterrupt):
        follow(client, path, limit, show, lambda why: note(state, why))


def _print_line(line: LogView) -> None:
    click.echo(f"{line.at} {line.stream:<6} {cell(line.text)}")


def _print_reply(state: State, answer: dict[str, Any]) -> None:
    if state.as_json:
        emit_json(answer)
        return
    reply = answer["content"]
    if answer["performative"] is None:
        note(state, "handled, without a reply")
    elif isinstance(reply, str):
        click.echo(printable(reply))
    else:
        emit_json(reply)
    if answer["performative"] not in (None, "inform"):
        note(state, f"the agent answered: {answer['performative']}")
