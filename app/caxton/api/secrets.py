"""Agents' secrets over HTTP: set, list, remove.

Owns the routes below /secrets. Must never answer a value: nobody reads one back.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import SecretPage
from caxton.api.gateway import ask
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PageQuery
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import decode
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Affected, Listing, Named
from caxton.protocol.secrets import SecretBody, SecretSet, SecretView

blueprint = Blueprint("secrets", __name__)
_decoder = msgspec.json.Decoder(SecretBody)


@blueprint.get("/secrets")
@operation(Operation("List secrets, without their values", {200: SecretPage}, query=PageQuery))
def index() -> Response:
    """By name, with the number of values that each has had."""
    asked = query(PageQuery)
    return answer(ask("secret.list", Listing(limit=asked.limit, cursor=asked.cursor)))


@blueprint.put("/secrets/<agent:name>")
@operation(
    Operation(
        "Set a secret",
        {200: SecretView},
        query=NoQuery,
        body=SecretBody,
        errors=(Code.RESOURCE_LIMIT_EXCEEDED, Code.SECRETS_UNAVAILABLE),
    )
)
def put(name: str) -> Response:
    """The next execution that asks for it gets this value."""
    query(NoQuery)
    value = decode(body.read_json(request.environ), _decoder).content()
    if value is None:
        expected = "exactly one of value (text) and value_base64"
        raise CaxtonError(Code.INVALID_REQUEST, f"value: {expected}", path="value", expected=expected)
    return answer(ask("secret.set", SecretSet(require_agent_name(name), value)))


@blueprint.delete("/secrets/<agent:name>")
@operation(Operation("Remove a secret", {200: Affected}, query=NoQuery, errors=(Code.SECRET_NOT_FOUND,)))
def remove(name: str) -> Response:
    """Agents that ask for it are told that there is none."""
    query(NoQuery)
    return answer(ask("secret.remove", Named(require_agent_name(name))))
