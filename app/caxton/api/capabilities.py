"""Capabilities over HTTP: list, show, register, forget.

Owns the routes below /capabilities. Must never choose an agent.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import CapabilityPage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PageQuery
from caxton.protocol.errors import Code
from caxton.protocol.jsontext import decode
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Affected, Listing, Named
from caxton.protocol.talks import CapabilityBody, CapabilitySet, CapabilityView

blueprint = Blueprint("capabilities", __name__)
_decoder = msgspec.json.Decoder(CapabilityBody)


@blueprint.get("/capabilities")
@operation(Operation("List capabilities", {200: CapabilityPage}, query=PageQuery))
def index() -> Response:
    """By name, with the agents that offer them."""
    asked = query(PageQuery)
    return answer(ask("capability.list", Listing(limit=asked.limit, cursor=asked.cursor)))


@blueprint.get("/capabilities/<agent:name>")
@operation(Operation("Show a capability", {200: CapabilityView}, query=NoQuery))
def show(name: str) -> Response:
    """Who offers it, and who of them takes messages now."""
    query(NoQuery)
    return answer(ask("capability.get", Named(require_agent_name(name))))


@blueprint.put("/capabilities/<agent:name>")
@operation(
    Operation(
        "Register a capability",
        {200: CapabilityView},
        query=NoQuery,
        body=CapabilityBody,
        errors=(Code.AGENT_NOT_FOUND,),
    )
)
def register(name: str) -> Response:
    """How one agent is chosen, and agents besides those whose deployment says so; replaces what was registered."""
    query(NoQuery)
    asked = decode(body.read_json(request.environ), _decoder)
    return answer(ask("capability.set", CapabilitySet(require_agent_name(name), asked)))


@blueprint.delete("/capabilities/<agent:name>")
@operation(Operation("Forget what was registered of a capability", {200: Affected}, query=NoQuery))
def forget(name: str) -> Response:
    """What deployments say stays."""
    query(NoQuery)
    return answer(ask("capability.remove", Named(require_agent_name(name))))
