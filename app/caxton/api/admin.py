"""Administration of one node, on the admin address only.

Owns the routes below /admin. Must never be reachable from outside: the application checks the address.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body
from caxton.api.answers import KeyPage, TokenPage
from caxton.api.gateway import ask, gateway
from caxton.api.operation import Operation, answer, operation, query
from caxton.api.queries import NoQuery, PageQuery
from caxton.protocol.access import Scope
from caxton.protocol.errors import Code
from caxton.protocol.jsontext import decode
from caxton.protocol.operations import (
    Affected,
    Drain,
    KeyCreate,
    KeyRotate,
    Listing,
    Named,
    Nothing,
    SetLogLevel,
    TokenRevoke,
)
from caxton.protocol.requests import DrainBody, KeyBody, LogLevelBody, RotateBody
from caxton.protocol.views import DrainView, KeyView, RotationView, TokenView

blueprint = Blueprint("admin", __name__)
_drain_decoder = msgspec.json.Decoder(DrainBody)
_key_decoder = msgspec.json.Decoder(KeyBody)
_rotate_decoder = msgspec.json.Decoder(RotateBody)
_level_decoder = msgspec.json.Decoder(LogLevelBody)


@blueprint.post("/admin/pause")
@operation(Operation("Start no further executions", {200: Nothing}, query=NoQuery))
def pause() -> Response:
    """Messages are still accepted; pausing twice is no error."""
    query(NoQuery)
    return answer(ask("node.pause", Nothing()))


@blueprint.post("/admin/resume")
@operation(Operation("Go on after a pause", {200: Nothing}, query=NoQuery))
def resume() -> Response:
    """Resuming twice is no error."""
    query(NoQuery)
    return answer(ask("node.resume", Nothing()))


@blueprint.post("/admin/drain")
@operation(Operation("Take no new work", {200: DrainView}, body=DrainBody))
def drain() -> Response:
    """Also after a restart, until undrained. What runs has `wait_seconds` to end, then goes back to its mailbox."""
    seconds = decode(body.read_json(request.environ, optional=True), _drain_decoder).wait_seconds
    return answer(ask("node.drain", Drain(seconds), timeout=gateway().timeout + seconds))


@blueprint.post("/admin/undrain")
@operation(Operation("Take work again", {200: Nothing}, query=NoQuery))
def undrain() -> Response:
    """Undraining twice is no error."""
    query(NoQuery)
    return answer(ask("node.undrain", Nothing()))


@blueprint.post("/admin/log-level")
@operation(Operation("Set the log level", {200: Nothing}, body=LogLevelBody))
def log_level() -> Response:
    """Until the next restart."""
    return answer(ask("node.log_level", SetLogLevel(decode(body.read_json(request.environ), _level_decoder).level)))


@blueprint.post("/admin/gc")
@operation(Operation("Forget what may be forgotten", {200: Affected}, query=NoQuery))
def collect() -> Response:
    """Applies the retention now, not at the next minute; `count` is how many rows and files went."""
    query(NoQuery)
    return answer(ask("node.gc", Nothing()))


@blueprint.get("/admin/keys")
@operation(Operation("List API keys", {200: KeyPage}, query=PageQuery))
def keys() -> Response:
    """Without their secrets."""
    asked = query(PageQuery)
    return answer(ask("key.list", Listing(limit=asked.limit, cursor=asked.cursor)))


@blueprint.post("/admin/keys")
@operation(Operation("Make an API key", {201: KeyView}, body=KeyBody, errors=(Code.CONFLICT,)))
def create_key() -> Response:
    """The answer holds the key; it is shown this once."""
    asked = decode(body.read_json(request.environ), _key_decoder)
    scope = Scope(asked.role, asked.namespace, asked.agents)
    return answer(
        ask("key.create", KeyCreate(asked.subject, scope, asked.ttl_seconds)), 201, Cache_Control="no-store"
    )


@blueprint.post("/admin/keys/<key_id>/rotate")
@operation(
    Operation(
        "Make the successor of an API key",
        {201: RotationView},
        body=RotateBody,
        errors=(Code.CONFLICT, Code.KEY_NOT_FOUND),
    )
)
def rotate_key(key_id: str) -> Response:
    """It may do the same. The old one ends after `overlap_seconds`."""
    asked = decode(body.read_json(request.environ, optional=True), _rotate_decoder)
    rotate = KeyRotate(key_id[:128], asked.overlap_seconds, asked.ttl_seconds)
    return answer(ask("key.rotate", rotate), 201, Cache_Control="no-store")


@blueprint.delete("/admin/keys/<key_id>")
@operation(Operation("Revoke an API key", {200: KeyView}, query=NoQuery, errors=(Code.KEY_NOT_FOUND,)))
def revoke_key(key_id: str) -> Response:
    """Every worker refuses it within a second."""
    query(NoQuery)
    return answer(ask("key.revoke", Named(key_id[:128])))


@blueprint.get("/admin/tokens")
@operation(Operation("List revoked tokens", {200: TokenPage}, query=PageQuery))
def tokens() -> Response:
    """By their `jti`; those whose tokens have ended by themselves are forgotten."""
    asked = query(PageQuery)
    return answer(ask("token.list", Listing(limit=asked.limit, cursor=asked.cursor)))


@blueprint.delete("/admin/tokens/<jti>")
@operation(Operation("Revoke a token", {200: TokenView}, query=NoQuery))
def revoke_token(jti: str) -> Response:
    """Every worker refuses it within a second, whoever signed it."""
    query(NoQuery)
    return answer(ask("token.revoke", TokenRevoke(jti[:256])))
