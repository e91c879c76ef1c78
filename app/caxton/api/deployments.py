"""POST /agents: a module and its configuration, in three forms.

Owns how a deployment is sent. Must never look into a module.
"""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from caxton.api import body, etags, hot
from caxton.api.answers import DeployForm
from caxton.api.converters import RESERVED
from caxton.api.gateway import ask, gateway
from caxton.api.operation import JSON, Operation, answer, operation
from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import decode
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Deploy
from caxton.protocol.requests import DeployBody, module_from_base64
from caxton.protocol.views import AgentView, JobView

blueprint = Blueprint("deployments", __name__)
WAIT_SECONDS = 1.0
JSON_BYTES = body.MODULE_BYTES * 4 // 3 + body.SMALL_BYTES
_config_decoder = msgspec.json.Decoder(AgentConfig)
_body_decoder = msgspec.json.Decoder(DeployBody)


class _Deployed(msgspec.Struct):
    agent: msgspec.Raw = msgspec.Raw(b"")
    job: msgspec.Raw = msgspec.Raw(b"")


class _Job(msgspec.Struct):
    job_id: str


@blueprint.post("/agents")
@operation(
    Operation(
        "Deploy an agent",
        {201: AgentView, 202: JobView},
        media={JSON: DeployBody, body.MULTIPART: DeployForm},
        headers=("Prefer",),
        errors=(
            Code.AGENT_ALREADY_EXISTS,
            Code.AGENT_FAILED,
            Code.COMPILE_LIMIT,
            Code.DRAINING,
            Code.EXECUTION_TIMEOUT,
            Code.INVALID_WASM,
            Code.MEMORY_LIMIT,
            Code.PAYLOAD_TOO_LARGE,
            Code.RESOURCE_LIMIT_EXCEEDED,
            Code.SIGNATURE_REFUSED,
            Code.STORAGE_FULL,
        ),
    )
)
def deploy() -> Response:
    """201 when it runs; 202 with a job when that takes longer than a second."""
    wait = 0.0 if hot.prefers_job(request.environ) else WAIT_SECONDS
    args = _parse(wait)
    return deployed(ask("agent.deploy", args, timeout=gateway().timeout), args.config.name)


def _parse(wait: float) -> Deploy:
    environ = request.environ
    if body.require_type(environ, JSON, body.MULTIPART) == body.MULTIPART:
        form = body.read_form(environ)
        config, module, signature = decode(form.config, _config_decoder), form.module, form.signature
    else:
        given = decode(body.read(environ, JSON_BYTES), _body_decoder)
        config, module = _config_of(given), module_of(given.wasm_module, given.wat) or b""
        signature = given.signature
    require_agent_name(config.name)
    if config.name.partition("/")[2] in RESERVED:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"name: {config.name!r} would shadow a route",
            path="name",
            expected=f"a second part other than {', '.join(sorted(RESERVED))}",
        )
    return Deploy(config, module, wait, signature)


def _config_of(given: DeployBody) -> AgentConfig:
    return AgentConfig(**{name: getattr(given, name) for name in AgentConfig.__struct_fields__})


def module_of(wasm_module: str | None, wat: str | None, *, optional: bool = False) -> bytes | None:
    """The bytes of whichever is given; `INVALID_REQUEST` for both, and for neither unless it is optional."""
    if optional and wasm_module is None and wat is None:
        return None
    if (wasm_module is None) == (wat is None):
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "wasm_module: exactly one of wasm_module and wat is needed",
            path="wasm_module",
            expected="wasm_module (base64) or wat (text)",
        )
    return wat.encode() if wat is not None else module_from_base64(wasm_module or "")


def deployed(result: bytes, name: str) -> Response:
    """The router's `Deployed` as 201 with the agent, or as 202 with the job."""
    found = msgspec.json.decode(result, type=_Deployed)
    if bytes(found.agent):
        response = etags.tagged(bytes(found.agent))
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/agents/{name}"
        return response
    if not bytes(found.job):
        raise CaxtonError(Code.INTERNAL_ERROR, "the router answered neither an agent nor a job")
    text = bytes(found.job)
    return answer(text, 202, Location=f"/api/v1/jobs/{msgspec.json.decode(text, type=_Job).job_id}")
