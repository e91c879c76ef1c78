"""Agents over HTTP: list, show, stop, start, remove, and what belongs to one of them.

Owns the routes below /agents but deployment and versions. Must never know how an agent runs.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body, etags, hot, streams
from caxton.api.answers import AgentPage, ExecutionPage, LogPage, MessagePage, StatePage
from caxton.api.gateway import ask, gateway
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import AgentsQuery, LogsQuery, MailboxQuery, NoQuery, PageQuery, RemoveQuery
from caxton.protocol.errors import Code
from caxton.protocol.jsontext import decode
from caxton.protocol.operations import Affected, Listing, Logs, Named, Remove, Stop
from caxton.protocol.requests import InvokeBody, StopBody
from caxton.protocol.views import AgentView, InvokeView, JobView

blueprint = Blueprint("agents", __name__)
_stop_decoder = msgspec.json.Decoder(StopBody)
_MISSING = (Code.AGENT_NOT_FOUND,)
_CHANGE = (Code.AGENT_NOT_FOUND, Code.CONFLICT, Code.DRAINING)
EXECUTION_ERRORS = (
    Code.AGENT_FAILED,
    Code.AGENT_QUARANTINED,
    Code.AGENT_STOPPED,
    Code.CPU_LIMIT,
    Code.EXECUTION_TIMEOUT,
    Code.FUEL_EXHAUSTED,
    Code.HOST_CALL_LIMIT,
    Code.INVALID_MESSAGE,
    Code.MEMORY_LIMIT,
    Code.MESSAGE_CANCELLED,
    Code.MESSAGE_EXPIRED,
    Code.OUTPUT_LIMIT,
    Code.SNAPSHOT_REFUSED,
    Code.STACK_OVERFLOW,
)


@blueprint.get("/agents")
@operation(Operation("List the agents", {200: AgentPage}, query=AgentsQuery))
def index() -> Response:
    """Every agent, by name."""
    asked = query(AgentsQuery)
    page = Listing(limit=asked.limit, cursor=asked.cursor, status=asked.status, capability=asked.capability)
    return answer(ask("agent.list", page))


@blueprint.get("/agents/<agent:name>")
@operation(Operation("Show an agent", {200: AgentView}, query=NoQuery, errors=_MISSING))
def show(name: str) -> Response:
    """One agent; its ETag goes into If-Match of a change."""
    query(NoQuery)
    return etags.tagged(ask("agent.get", Named(name)))


@blueprint.delete("/agents/<agent:name>")
@operation(Operation("Remove an agent", {200: Affected}, query=RemoveQuery, errors=_CHANGE, headers=("If-Match",)))
def remove(name: str) -> Response:
    """Its mailbox goes to the dead letters, or away with `purge`; `count` is how many messages that were."""
    asked = query(RemoveQuery)
    return answer(ask("agent.remove", Remove(name, purge=asked.purge, etag=etags.if_match())))


@blueprint.post("/agents/<agent:name>/stop")
@operation(
    Operation("Drain an agent, then stop it", {200: AgentView}, body=StopBody, errors=_CHANGE, headers=("If-Match",))
)
def stop(name: str) -> Response:
    """Takes no new work and lets what runs finish, for at most `grace_period_seconds`."""
    asked = decode(body.read_json(request.environ, optional=True), _stop_decoder)
    etags.require_match(name)
    seconds = asked.grace_period_seconds
    return etags.tagged(ask("agent.stop", Stop(name, seconds), timeout=gateway().timeout + seconds))


@blueprint.post("/agents/<agent:name>/start")
@operation(
    Operation("Start a stopped agent", {200: AgentView}, errors=(*_CHANGE, Code.AGENT_FAILED), headers=("If-Match",))
)
def start(name: str) -> Response:
    """Starts the module that is already there; starting twice is no error."""
    etags.require_match(name)
    return etags.tagged(ask("agent.start", Named(name)))


@blueprint.get("/agents/<agent:name>/messages")
@operation(Operation("List an agent's messages", {200: MessagePage}, query=MailboxQuery, errors=_MISSING))
def messages(name: str) -> Response:
    """Newest first."""
    asked = query(MailboxQuery)
    ask("agent.get", Named(name))
    page = Listing(
        name=name, limit=asked.limit, cursor=asked.cursor, conversation_id=asked.conversation_id, state=asked.state
    )
    return answer(ask("message.list", page))


@blueprint.get("/agents/<agent:name>/logs")
@operation(
    Operation("Read or follow an agent's log", {200: LogPage}, query=LogsQuery, errors=_MISSING, streams="LogView")
)
def logs(name: str) -> Response:
    """The last lines; with `follow` what comes after them too, as NDJSON or (by Accept) server-sent events."""
    asked = query(LogsQuery)
    args = Logs(name, asked.limit, asked.follow)
    if not asked.follow:
        return answer(streams.collect("agent.logs", args))
    if streams.wants_sse():
        return streams.respond("agent.logs", args, streams.data_frame, streams.SSE)
    return streams.respond("agent.logs", args, streams.line_frame, streams.NDJSON)


@blueprint.get("/agents/<agent:name>/state")
@operation(Operation("List an agent's keys", {200: StatePage}, query=PageQuery, errors=_MISSING))
def state(name: str) -> Response:
    """The keys that the agent stored, with their values."""
    asked = query(PageQuery)
    return answer(ask("agent.state", Listing(name=name, limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/agents/<agent:name>/executions")
@operation(Operation("List an agent's latest executions", {200: ExecutionPage}, query=PageQuery, errors=_MISSING))
def executions(name: str) -> Response:
    """Newest first; only the most recent ones are kept."""
    asked = query(PageQuery)
    return answer(ask("agent.executions", Listing(name=name, limit=asked.limit, cursor=asked.cursor)))


@blueprint.post("/agents/<agent:name>/invoke")
@operation(
    Operation(
        "Send a message and wait for the reply",
        {200: InvokeView, 202: JobView},
        body=InvokeBody,
        headers=("Idempotency-Key", "Prefer"),
        errors=(*_CHANGE, Code.MAILBOX_FULL, Code.STORAGE_FULL, Code.PAYLOAD_TOO_LARGE, *EXECUTION_ERRORS),
    )
)
def invoke(name: str) -> Response:
    """With `Prefer: respond-async` the answer is a job."""
    query(NoQuery)
    status, text, location = hot.invoke(gateway(), request.environ, name)
    return answer(text, status, Location=location) if location else answer(text, status)
