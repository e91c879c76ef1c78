"""Recordings over HTTP: which executions can be replayed, and what is needed to do it.

Owns their routes. Must never look into a recording.
"""

from __future__ import annotations

from flask import Blueprint, Response

from caxton.api.answers import RecordingPage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import PageQuery, RecordingQuery
from caxton.protocol.errors import Code
from caxton.protocol.operations import Listing
from caxton.protocol.recordings import RecordingOf, RecordingView

blueprint = Blueprint("recordings", __name__)


@blueprint.get("/agents/<agent:name>/recordings")
@operation(
    Operation(
        "List an agent's recorded executions", {200: RecordingPage}, query=PageQuery, errors=(Code.AGENT_NOT_FOUND,)
    )
)
def index(name: str) -> Response:
    """Newest first."""
    asked = query(PageQuery)
    return answer(ask("agent.recordings", Listing(name=name, limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/executions/<execution>/recording")
@operation(
    Operation(
        "Get the recording of an execution", {200: RecordingView}, query=RecordingQuery, errors=(Code.NOT_FOUND,)
    )
)
def show(execution: str) -> Response:
    """With the module that it ran, unless `module=false`."""
    return answer(ask("recording.get", RecordingOf(execution, query(RecordingQuery).module)))
