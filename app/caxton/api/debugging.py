"""Over HTTP, for whoever looks for a fault: an agent's history, and the node on which it lives.

Owns their routes. Must never add to what the router shows.
"""

from __future__ import annotations

from flask import Blueprint, Response

from caxton.api.answers import TransitionPage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NodeQuery, PageQuery
from caxton.protocol.debugging import NodeFacts
from caxton.protocol.errors import Code
from caxton.protocol.operations import Listing, Named

blueprint = Blueprint("debugging", __name__)


@blueprint.get("/agents/<agent:name>/history")
@operation(
    Operation("List what became of an agent", {200: TransitionPage}, query=PageQuery, errors=(Code.AGENT_NOT_FOUND,))
)
def history(name: str) -> Response:
    """Every change of its status or version, newest first; also of an agent that was removed."""
    asked = query(PageQuery)
    return answer(ask("agent.history", Listing(name=name, limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/node/facts")
@operation(Operation("Show a node, its host and its configuration", {200: NodeFacts}, query=NodeQuery))
def node() -> Response:
    """This one, or that on which `agent` lives. Secrets are masked."""
    return answer(ask("node.facts", Named(query(NodeQuery).agent or "")))
