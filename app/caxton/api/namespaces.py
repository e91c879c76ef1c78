"""Namespaces over HTTP: list, show, set and remove quotas.

Owns the routes below /namespaces. Must never enforce a quota: the router does.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import NamespacePage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PageQuery
from caxton.protocol.errors import Code
from caxton.protocol.jsontext import decode
from caxton.protocol.namespaces import NamespaceSet, NamespaceView, Quota
from caxton.protocol.operations import Affected, Listing, Named

blueprint = Blueprint("namespaces", __name__)
_decoder = msgspec.json.Decoder(Quota)


@blueprint.get("/namespaces")
@operation(Operation("List namespaces", {200: NamespacePage}, query=PageQuery))
def index() -> Response:
    """Those with agents or quotas, by name, with what they use."""
    asked = query(PageQuery)
    return answer(ask("namespace.list", Listing(limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/namespaces/<name>")
@operation(Operation("Show a namespace", {200: NamespaceView}, query=NoQuery))
def show(name: str) -> Response:
    """Its quotas, and what it uses."""
    query(NoQuery)
    return answer(ask("namespace.get", Named(name)))


@blueprint.put("/namespaces/<name>")
@operation(
    Operation(
        "Set a namespace's quotas",
        {200: NamespaceView},
        query=NoQuery,
        body=Quota,
        errors=(Code.RESOURCE_LIMIT_EXCEEDED,),
    )
)
def put(name: str) -> Response:
    """Replaces all of them, from now on; what is left out is not limited."""
    query(NoQuery)
    return answer(ask("namespace.set", NamespaceSet(name, decode(body.read_json(request.environ), _decoder))))


@blueprint.delete("/namespaces/<name>")
@operation(Operation("Remove a namespace's quotas", {200: Affected}, query=NoQuery))
def remove(name: str) -> Response:
    """Its agents stay, and are not limited any more."""
    query(NoQuery)
    return answer(ask("namespace.remove", Named(name)))
