"""`caxton message …`.

Owns the verbs of messages. Must never decide what becomes of one.
"""

from __future__ import annotations

from typing import Any

import click

from caxton.cli.client import connect, decoded, segment
from caxton.cli.conversation_verbs import show_timeline
from caxton.cli.failures import EXIT_FAILED
from caxton.cli.render import emit_json, emit_one, emit_page, emit_rows, note
from caxton.cli.state import State, output_options, page_options, pass_state
from caxton.cli.values import content_of, read_file

COLUMNS = {
    "MESSAGE": "message_id",
    "STATE": "state",
    "PERFORMATIVE": "performative",
    "SENDER": "sender",
    "RECEIVER": "receiver",
    "ACCEPTED": "accepted_at",
    "ERROR": "error.code",
}
DETAILS = {
    "message": "message_id",
    "state": "state",
    "performative": "performative",
    "sender": "sender",
    "receiver": "receiver",
    "conversation": "conversation_id",
    "priority": "priority",
    "reply by": "reply_by",
    "accepted": "accepted_at",
    "finished": "finished_at",
    "content": "content",
    "reply": "reply.content",
    "replied": "reply.performative",
    "error": "error.code",
    "why": "error.message",
    "holds": "holds_conversation",
    "execution": "execution.id",
    "executions": "executions",
    "attempts": "attempts",
}


@click.group()
def message() -> None:
    """Send and follow messages."""


@message.command()
@click.argument("receiver", required=False)
@click.argument("content", required=False)
@click.option("--file", help="Take the content from a file (- is stdin).")
@click.option("--batch", help="A file of messages, one JSON object a line (- is stdin).")
@click.option("--text", is_flag=True, help="The content is text, even if it could be JSON.")
@click.option("--performative", default="inform", show_default=True)
@click.option("--conversation", "conversation_id")
@click.option("--reply-with")
@click.option("--in-reply-to")
@click.option("--reply-by", help="RFC 3339: not run after that.")
@click.option("--priority", type=click.IntRange(1, 10))
@click.option("--protocol", help="fipa-request, fipa-query, fipa-contract-net, fipa-subscribe: checked by the node.")
@click.option("--language", help="bytes: the content is base64.")
@click.option("--idempotency-key", help="The same key again is the same message.")
@output_options
@pass_state
def send(
    state: State,
    receiver: str | None,
    content: str | None,
    file: str | None,
    batch: str | None,
    text: bool,
    **fields: Any,
) -> int:
    """Send CONTENT (JSON, else text) to RECEIVER; durable when this returns."""
    if (receiver is None) == (batch is None):
        raise click.UsageError("give a RECEIVER with its content, or --batch FILE")
    key = fields.pop("idempotency_key")
    headers = {"Idempotency-Key": key} if key else {}
    if batch is not None:
        return _send_batch(state, read_file(batch), headers)
    body = {key: value for key, value in fields.items() if value is not None}
    body |= {"receiver": receiver, "content": content_of(content, file, text)}
    with connect(state) as client:
        item = decoded(client.send("POST", "/messages", body=body, headers=headers))
    if state.as_json:
        emit_json(item)
    else:
        click.echo(item["message_id"])
        note(state, f"{item['state']}; follow it: caxton message show {item['message_id']}")
    return 0


@message.command()
@click.argument("message_id")
@output_options
@pass_state
def show(state: State, message_id: str) -> None:
    """Show a message, its attempts and its reply."""
    with connect(state) as client:
        emit_one(state, client.get(f"/messages/{segment(message_id)}"), DETAILS)


@message.command("list")
@click.option("--agent", help="Only messages to this agent.")
@click.option("--conversation", "conversation_id")
@click.option(
    "--state", "wanted", type=click.Choice(["pending", "in_flight", "done", "dead", "expired", "cancelled"])
)
@page_options
@output_options
@pass_state
def list_verb(state: State, wanted: str | None, **query: Any) -> None:
    """List messages, newest first."""
    with connect(state) as client:
        page = client.get("/messages", state=wanted, **query)
    emit_page(state, page, COLUMNS)


@message.command()
@click.argument("message_id")
@output_options
@pass_state
def cancel(state: State, message_id: str) -> None:
    """Cancel a message that is still pending."""
    with connect(state) as client:
        answer = client.delete(f"/messages/{segment(message_id)}")
    if state.as_json:
        emit_json(answer)
    else:
        note(state, f"{answer['message_id']} is {answer['state']}")


@message.command()
@click.argument("message_id")
@output_options
@pass_state
def trace(state: State, message_id: str) -> None:
    """Show the whole conversation that a message belongs to."""
    with connect(state) as client:
        found = client.get(f"/messages/{segment(message_id)}")
        show_timeline(state, client.get(f"/conversations/{segment(found['conversation_id'])}", limit=200))


def _send_batch(state: State, data: bytes, headers: dict[str, str]) -> int:
    headers = {**headers, "Content-Type": "application/x-ndjson"}
    with connect(state) as client:
        items = decoded(client.send("POST", "/messages", content=data, headers=headers))["items"]
    columns = {"MESSAGE": "message_id", "STATE": "state", "ERROR": "error.code", "WHY": "error.message"}
    emit_rows(state, items, columns)
    refused = sum("error" in item for item in items)
    note(state, f"{len(items) - refused} accepted, {refused} refused")
    return EXIT_FAILED if refused else 0
