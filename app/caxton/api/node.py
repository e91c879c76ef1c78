"""The node over HTTP: health, readiness, ledger, jobs, events.

Owns these routes. Must never show detail to those who are not authenticated.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import streams
from caxton.api.answers import Health
from caxton.api.gateway import ask, trace
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.problems import render
from caxton.api.queries import EventsQuery, LedgerQuery, NoQuery
from caxton.protocol.cluster import ClusterLedger
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import is_uuid
from caxton.protocol.operations import Events, Named, Nothing
from caxton.protocol.views import JobView, Ledger, NodeView, Readiness

blueprint = Blueprint("node", __name__)
probes = Blueprint("probes", __name__)
READY_SECONDS = 5.0
_readiness = msgspec.json.Decoder(Readiness)
_HEALTHY = msgspec.json.encode(Health())


@probes.get("/health")
@operation(Operation("Whether the process is alive", {200: Health}))
def health() -> Response:
    """No authentication, no dependency."""
    return answer(_HEALTHY)


@probes.get("/ready")
@operation(Operation("Whether the node takes work", {200: Readiness}, errors=(Code.NOT_READY,)))
def ready() -> Response:
    """503 lists the reasons by name only."""
    try:
        text = ask("ready", Nothing(), timeout=READY_SECONDS)
        found = _readiness.decode(text)
    except CaxtonError:
        found = Readiness(False, ["router"])
    if found.ready:
        return answer(text)
    error = CaxtonError(Code.NOT_READY, "this node does not take work now", reasons=found.reasons)
    rendered = render(error, trace().trace_id, extra={"ready": False, "reasons": found.reasons})
    return Response(rendered.body, rendered.status, rendered.headers)


@blueprint.get("/ledger")
@operation(Operation("Account for every message", {200: (Ledger, ClusterLedger)}, query=LedgerQuery))
def ledger() -> Response:
    """`imbalance` is 0, always. With `cluster=true` the accounts of every node, and their sum."""
    everybody = query(LedgerQuery).cluster
    return answer(ask("cluster.ledger" if everybody else "ledger", Nothing()))


@blueprint.get("/node")
@operation(Operation("Show the node", {200: NodeView}, query=NoQuery))
def show() -> Response:
    """The one that answers, in a few figures: what `caxton top` has above its table."""
    query(NoQuery)
    return answer(ask("node.show", Nothing()))


@blueprint.get("/jobs/<job_id>")
@operation(Operation("Show a job", {200: JobView}, query=NoQuery, errors=(Code.JOB_NOT_FOUND,)))
def job(job_id: str) -> Response:
    """Its state, progress and result; kept for 24 hours."""
    query(NoQuery)
    if not is_uuid(job_id):
        raise CaxtonError(Code.JOB_NOT_FOUND, f"no job is called {job_id[:80]!r}")
    return answer(ask("job.get", Named(job_id)))


@blueprint.get("/events")
@operation(
    Operation(
        "Follow what happens on the node",
        {200: None},
        query=EventsQuery,
        headers=("Last-Event-ID",),
        streams="NodeEvent",
        answer_media=streams.SSE,
    )
)
def events() -> Response:
    """Server-sent events whose type matches one of the globs in `types`; resumes after Last-Event-ID."""
    asked = query(EventsQuery)
    patterns = [pattern.strip() for pattern in asked.types.split(",") if pattern.strip()]
    last_id = _last_event_id() if asked.last_event_id is None else asked.last_event_id
    return streams.respond("events", Events(patterns or ["*"], last_id), streams.event_frame, streams.SSE)


def _last_event_id() -> int | None:
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    raise CaxtonError(
        Code.INVALID_REQUEST, "Last-Event-ID: not an event's id", path="Last-Event-ID", expected="a whole number"
    )
