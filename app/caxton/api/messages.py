"""Messages over HTTP: accept, show, list, cancel.

Owns the routes below /messages. Must never deliver one.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from caxton.api import hot
from caxton.api.answers import Items, MessagePage
from caxton.api.body import NDJSON
from caxton.api.gateway import ask, gateway
from caxton.api.operation import JSON, Operation, answer, operation, query
from caxton.api.queries import MessagesQuery, NoQuery
from caxton.protocol.errors import Code
from caxton.protocol.operations import Listing, Named
from caxton.protocol.requests import MessageBody, checked_id
from caxton.protocol.views import ItemView, MessageView

blueprint = Blueprint("messages", __name__)


@blueprint.post("/messages")
@operation(
    Operation(
        "Accept messages",
        {202: (ItemView, Items)},
        media={JSON: (MessageBody, list[MessageBody]), NDJSON: MessageBody},
        headers=("Idempotency-Key",),
        errors=(
            Code.AGENT_NOT_FOUND,
            Code.AGENT_QUARANTINED,
            Code.AGENT_STOPPED,
            Code.CONFLICT,
            Code.DRAINING,
            Code.MAILBOX_FULL,
            Code.PAYLOAD_TOO_LARGE,
            Code.PROTOCOL_VIOLATION,
            Code.STORAGE_FULL,
        ),
    )
)
def submit() -> Response:
    """One message, a JSON array or NDJSON. What is accepted is durable when the answer arrives."""
    query(NoQuery)
    status, text, _ = hot.submit(gateway(), request.environ)
    return answer(text, status)


@blueprint.get("/messages")
@operation(Operation("List messages", {200: MessagePage}, query=MessagesQuery))
def index() -> Response:
    """Newest first."""
    asked = query(MessagesQuery)
    page = Listing(
        name=asked.agent,
        limit=asked.limit,
        cursor=asked.cursor,
        conversation_id=asked.conversation_id,
        state=asked.state,
    )
    return answer(ask("message.list", page))


@blueprint.get("/messages/<message:message_id>")
@operation(Operation("Show a message", {200: MessageView}, query=NoQuery, errors=(Code.MESSAGE_NOT_FOUND,)))
def show(message_id: str) -> Response:
    """Its state, its attempts and what became of it."""
    query(NoQuery)
    return answer(ask("message.get", Named(checked_id(message_id) or "")))


@blueprint.delete("/messages/<message:message_id>")
@operation(
    Operation("Cancel a message", {200: MessageView}, query=NoQuery, errors=(Code.MESSAGE_NOT_FOUND, Code.CONFLICT))
)
def cancel(message_id: str) -> Response:
    """A message that has not started is cancelled; one that has ended is a CONFLICT."""
    query(NoQuery)
    return answer(ask("message.cancel", Named(checked_id(message_id) or "")))
