"""Versions over HTTP: a new one, the kept ones, the way back, and a rollout with two of them.

Owns the routes below /agents that change or show a version. Must never decide which version serves.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from flask import Blueprint, Response, request
from msgspec import UNSET

from caxton.api import body, etags, hot
from caxton.api.answers import UpdateForm, VersionPage
from caxton.api.deployments import JSON_BYTES, WAIT_SECONDS, deployed, module_of
from caxton.api.gateway import ask, gateway
from caxton.api.operation import JSON, Operation, answer, operation, query
from caxton.api.queries import NoQuery
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import decode
from caxton.protocol.operations import Named
from caxton.protocol.versions import (
    ConfigChange,
    Rollback,
    RollbackBody,
    RolloutBody,
    RolloutView,
    Steer,
    Update,
    UpdateBody,
    UpdateConfig,
)
from caxton.protocol.views import AgentView, JobView

blueprint = Blueprint("versions", __name__)
_config_decoder = msgspec.json.Decoder(UpdateConfig)
_body_decoder = msgspec.json.Decoder(UpdateBody)
_rollback_decoder = msgspec.json.Decoder(RollbackBody)
_rollout_decoder = msgspec.json.Decoder(RolloutBody)
_MISSING = (Code.AGENT_NOT_FOUND,)
_REFUSED = (Code.AGENT_NOT_FOUND, Code.AGENT_FAILED, Code.CONFLICT, Code.DRAINING, Code.EXECUTION_TIMEOUT)


class _Given(NamedTuple):
    config: UpdateConfig
    module: bytes | None
    signature: str | None


@blueprint.put("/agents/<agent:name>")
@operation(
    Operation(
        "Make a new version of an agent",
        {201: AgentView, 202: JobView},
        media={JSON: UpdateBody, body.MULTIPART: UpdateForm},
        headers=("If-Match", "Prefer"),
        errors=(
            *_REFUSED,
            Code.AGENT_STOPPED,
            Code.COMPILE_LIMIT,
            Code.INVALID_WASM,
            Code.MEMORY_LIMIT,
            Code.PAYLOAD_TOO_LARGE,
            Code.SIGNATURE_REFUSED,
            Code.STORAGE_FULL,
        ),
    )
)
def update(name: str) -> Response:
    """The old version serves until the new one has started and passed its self-test; if it cannot, it serves on."""
    query(NoQuery)
    wait = 0.0 if hot.prefers_job(request.environ) else WAIT_SECONDS
    args = _update(name, _parse(name), wait)
    return deployed(ask("agent.update", args, timeout=gateway().timeout), name)


@blueprint.post("/agents/<agent:name>/rollback")
@operation(
    Operation(
        "Go back to an earlier version", {200: AgentView}, body=RollbackBody, errors=_REFUSED, headers=("If-Match",)
    )
)
def rollback(name: str) -> Response:
    """Module and configuration, without compiling; while a rollout runs, back to the version before it."""
    query(NoQuery)
    asked = decode(body.read_json(request.environ, optional=True), _rollback_decoder)
    return etags.tagged(ask("agent.rollback", Rollback(name, asked.version, etags.if_match())))


@blueprint.get("/agents/<agent:name>/versions")
@operation(Operation("List an agent's versions", {200: VersionPage}, query=NoQuery, errors=_MISSING))
def index(name: str) -> Response:
    """Newest first; the last ten are kept."""
    query(NoQuery)
    return answer(ask("agent.versions", Named(name)))


@blueprint.get("/agents/<agent:name>/rollout")
@operation(
    Operation("Show an agent's latest rollout", {200: RolloutView}, query=NoQuery, errors=(*_MISSING, Code.NOT_FOUND))
)
def rollout(name: str) -> Response:
    """Of those with two versions up: how it goes, or how it ended, with the figures of both."""
    query(NoQuery)
    return answer(ask("agent.rollout", Named(name)))


@blueprint.post("/agents/<agent:name>/rollout")
@operation(
    Operation(
        "End a rollout by hand",
        {200: AgentView},
        body=RolloutBody,
        errors=(*_MISSING, Code.CONFLICT),
        headers=("If-Match",),
    )
)
def steer(name: str) -> Response:
    """`promote`: the new version stays; `abort`: the old one does, at once."""
    query(NoQuery)
    asked = decode(body.read_json(request.environ), _rollout_decoder)
    return etags.tagged(ask("agent.steer", Steer(name, asked.action, etags.if_match())))


def _parse(name: str) -> _Given:
    environ = request.environ
    config: UpdateConfig
    module: bytes | None
    signature: str | None
    if body.require_type(environ, JSON, body.MULTIPART) == body.MULTIPART:
        parts = body.read_parts(environ)
        config, module = decode(parts.get("config", b"{}"), _config_decoder), parts.get("wasm")
        signature = body.signature_in(parts)
    else:
        given = decode(body.read(environ, JSON_BYTES), _body_decoder)
        config, module = given, module_of(given.wasm_module or None, given.wat or None, optional=True)
        signature = given.signature or None
    if config.name not in (UNSET, name):
        raise CaxtonError(
            Code.INVALID_REQUEST, "name: an agent keeps its name", path="name", found=config.name, expected=name
        )
    return _Given(config, module, signature)


def _update(name: str, given: _Given, wait: float) -> Update:
    config, module, signature = given
    change = ConfigChange(**{field: getattr(config, field) for field in ConfigChange.__struct_fields__})
    canary, blue_green = config.canary or None, config.blue_green or None
    return Update(name, change, module, config.strategy, canary, blue_green, etags.if_match(), wait, signature)
