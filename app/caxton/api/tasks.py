"""Tasks over HTTP: create, list, show, cancel.

Owns the routes below /tasks. Must never choose a bid.
"""

from __future__ import annotations

from typing import Final

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import TaskPage
from caxton.api.gateway import ask, gateway, trace
from caxton.api.hot import idempotency_key
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, TasksQuery
from caxton.protocol.errors import Code
from caxton.protocol.ids import idempotent_id, new_id
from caxton.protocol.jsontext import decode
from caxton.protocol.names import CLIENT_PREFIX
from caxton.protocol.operations import Named
from caxton.protocol.requests import content, instant
from caxton.protocol.talks import TaskBody, TaskCreate, TaskListing, TaskView

blueprint = Blueprint("tasks", __name__)
_decoder = msgspec.json.Decoder(TaskBody)
_KEY_PREFIX: Final = "task:"  # a key may stand for a message and for a task


@blueprint.post("/tasks")
@operation(
    Operation(
        "Have a task done by the best bidder",
        {201: TaskView},
        query=NoQuery,
        body=TaskBody,
        headers=("Idempotency-Key",),
        errors=(
            Code.AGENT_NOT_FOUND,
            Code.AGENT_STOPPED,
            Code.CONFLICT,
            Code.DRAINING,
            Code.MAILBOX_FULL,
            Code.RESOURCE_LIMIT_EXCEEDED,
            Code.STORAGE_FULL,
        ),
    )
)
def create() -> Response:
    """Every agent that offers the capability is called for a proposal; durable when the answer arrives."""
    query(NoQuery)
    made = _wanted(decode(body.read_json(request.environ, gateway().max_content + body.ENVELOPE_BYTES), _decoder))
    return answer(ask("task.create", made), 201, Location=f"/api/v1/tasks/{made.task_id}")


@blueprint.get("/tasks")
@operation(Operation("List tasks", {200: TaskPage}, query=TasksQuery))
def index() -> Response:
    """Newest first, without their bids."""
    asked = query(TasksQuery)
    page = TaskListing(limit=asked.limit, cursor=asked.cursor, state=asked.state, capability=asked.capability)
    return answer(ask("task.list", page))


@blueprint.get("/tasks/<task_id>")
@operation(Operation("Show a task", {200: TaskView}, query=NoQuery))
def show(task_id: str) -> Response:
    """Its state, every bid and the result."""
    query(NoQuery)
    return answer(ask("task.get", Named(task_id)))


@blueprint.delete("/tasks/<task_id>")
@operation(Operation("Cancel a task", {200: TaskView}, query=NoQuery, errors=(Code.CONFLICT,)))
def cancel(task_id: str) -> Response:
    """Its bidders are told; one that has ended is a CONFLICT."""
    query(NoQuery)
    return answer(ask("task.cancel", Named(task_id)))


def _wanted(asked: TaskBody) -> TaskCreate:
    """The task that the client wants, with everything that the node sets."""
    here, environ = gateway(), request.environ
    subject = here.caller(environ).subject
    key = idempotency_key(environ)
    return TaskCreate(
        task_id=idempotent_id(subject, _KEY_PREFIX + key) if key else new_id(),
        owner=CLIENT_PREFIX + subject,
        capability=asked.capability,
        content=content(asked.content, asked.language, here.max_content),
        select=asked.select,
        reply_by=instant(asked.reply_by, "reply_by"),
        finish_by=None if asked.finish_by is None else instant(asked.finish_by, "finish_by"),
        ontology=asked.ontology,
        language=asked.language,
        priority=asked.priority,
        traceparent=trace().traceparent,
    )
