"""Who asks, over HTTP: what the node makes of the credentials of a request.

Owns the route /whoami. Must never tell anything of somebody else.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api.answers import CallerView
from caxton.api.gateway import gateway
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery
from caxton.protocol.access import Permission

blueprint = Blueprint("callers", __name__)


@blueprint.get("/whoami")
@operation(Operation("Show who asks, and what that opens", {200: CallerView}, query=NoQuery))
def whoami() -> Response:
    """On a node without authentication everybody is `anonymous`, and may do everything."""
    query(NoQuery)
    caller = gateway().caller(request.environ)
    may = [permission for permission in Permission if caller.may(permission)]
    agents = None if caller.agents is None else list(caller.agents)
    return answer(msgspec.json.encode(CallerView(caller.subject, caller.role, may, caller.namespace, agents)))
