"""The cluster over HTTP: its state, its nodes, its reports; drain and undrain any node.

Owns the routes below /cluster. Must never talk to another node: the router does.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import MemberPage, ReportPage
from caxton.api.gateway import ask, gateway
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PlanQuery
from caxton.protocol.cluster import ClusterView, NodeDrain
from caxton.protocol.cluster_moves import Plan, PlanView
from caxton.protocol.errors import Code
from caxton.protocol.jsontext import decode
from caxton.protocol.operations import Named, Nothing
from caxton.protocol.requests import DrainBody
from caxton.protocol.views import DrainView

blueprint = Blueprint("cluster", __name__)
_drain_decoder = msgspec.json.Decoder(DrainBody)
_MAX_NODE = 64


@blueprint.get("/cluster")
@operation(Operation("Show the cluster", {200: ClusterView}, query=NoQuery))
def show() -> Response:
    """As the node that answers sees it. A node without a cluster is one of one."""
    query(NoQuery)
    return answer(ask("cluster.status", Nothing()))


@blueprint.get("/cluster/nodes")
@operation(Operation("List the nodes", {200: MemberPage}, query=NoQuery))
def nodes() -> Response:
    """As the node that answers sees them."""
    query(NoQuery)
    return answer(ask("cluster.nodes", Nothing()))


@blueprint.get("/cluster/plan")
@operation(Operation("Say which agents would move", {200: PlanView}, query=PlanQuery, errors=(Code.NOT_FOUND,)))
def plan() -> Response:
    """If the nodes of `without` took no more work and those of `added` did; nothing moves."""
    asked = query(PlanQuery)
    return answer(ask("cluster.plan", Plan(_nodes(asked.without), _nodes(asked.added))))


@blueprint.get("/cluster/reports")
@operation(Operation("List what cuts between nodes meant", {200: ReportPage}, query=NoQuery))
def reports() -> Response:
    """As the node that answers saw them, the latest first; the last hundred."""
    query(NoQuery)
    return answer(ask("cluster.report", Nothing()))


@blueprint.post("/cluster/nodes/<node_id>/drain")
@operation(Operation("Drain a node", {200: DrainView}, body=DrainBody, errors=(Code.NOT_FOUND, Code.NOT_READY)))
def drain(node_id: str) -> Response:
    """It takes no new work, also after a restart, and hands over what lives there. Any node passes this on."""
    seconds = decode(body.read_json(request.environ, optional=True), _drain_decoder).wait_seconds
    args = NodeDrain(node_id[:_MAX_NODE], seconds)
    return answer(ask("cluster.drain", args, timeout=gateway().timeout + seconds))


@blueprint.post("/cluster/nodes/<node_id>/undrain")
@operation(Operation("Undrain a node", {200: Nothing}, query=NoQuery, errors=(Code.NOT_FOUND, Code.NOT_READY)))
def undrain(node_id: str) -> Response:
    """It takes work again. Any node passes this on."""
    query(NoQuery)
    return answer(ask("cluster.undrain", Named(node_id[:_MAX_NODE])))


def _nodes(text: str | None) -> list[str]:
    return [name for part in (text or "").split(",") if (name := part.strip())]
