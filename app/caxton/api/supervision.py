"""An agent's schedules and its outbound HTTP calls over HTTP.

Owns these two routes. Must never make a call itself.
"""

from __future__ import annotations

from flask import Blueprint, Response

from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PageQuery
from caxton.protocol.errors import Code
from caxton.protocol.operations import Listing, Named
from caxton.protocol.views_supervision import HttpCallPage, SchedulePage

blueprint = Blueprint("supervision", __name__)
_MISSING = (Code.AGENT_NOT_FOUND,)


@blueprint.get("/agents/<agent:name>/schedules")
@operation(Operation("List an agent's schedules", {200: SchedulePage}, query=NoQuery, errors=_MISSING))
def schedules(name: str) -> Response:
    """With the last due time that is accounted for, and the next."""
    query(NoQuery)
    return answer(ask("agent.schedules", Named(name)))


@blueprint.get("/agents/<agent:name>/http-calls")
@operation(Operation("List an agent's outbound HTTP calls", {200: HttpCallPage}, query=PageQuery, errors=_MISSING))
def http_calls(name: str) -> Response:
    """Newest first; the last 1,000 are kept."""
    asked = query(PageQuery)
    return answer(ask("agent.http_calls", Listing(name=name, limit=asked.limit, cursor=asked.cursor)))
