"""The OpenAPI 3.1 document, made of the routes and of the models that validate them.

Owns its form. Must never describe a route that is not there, or leave one out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
from flask import Flask
from werkzeug.routing import Rule

from caxton import __version__
from caxton.api.operation import ATTRIBUTE, Operation
from caxton.api.permissions import required
from caxton.api.problems import MEDIA_TYPE, Problem
from caxton.protocol.access import PERMISSIONS, Permission
from caxton.protocol.errors import HTTP_STATUS, Code
from caxton.protocol.names import MAX_NAME_LENGTH
from caxton.protocol.views import LogView, NodeEvent

REF: Final = "#/components/schemas/{name}"
EVERYWHERE: Final = (
    Code.HEADERS_TOO_LARGE,
    Code.INTERNAL_ERROR,
    Code.INVALID_REQUEST,
    Code.METHOD_NOT_ALLOWED,
    Code.NOT_FOUND,
    Code.REQUEST_TIMEOUT,
)
TOO_LONG: Final = "414"
"""The one status that shares its code with another: a request line over the limit."""
AUTHENTICATED: Final = (Code.UNAUTHORIZED, Code.FORBIDDEN, Code.NOT_READY, Code.RATE_LIMITED)
CHANGING: Final = (Code.STORAGE_FULL,)
"""What changes something is refused where it cannot be recorded."""
WITH_BODY: Final = (Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
_STREAMED: Final[dict[str, Any]] = {"LogView": LogView, "NodeEvent": NodeEvent}
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_PATH_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "agent": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
    "topic": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
    "message": {"type": "string", "format": "uuid"},
}
_HEADER_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "Prefer": {"type": "string", "examples": ["respond-async"]},
    "If-Match": {"type": "string", "pattern": r'^(?:\*|"[!#-+\--~]{1,128}")$'},
    "Last-Event-ID": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


@lru_cache(2)
def text(app: Flask) -> bytes:
    """The document as JSON, made once: it takes a tenth of a second, and anybody may ask for it."""
    return msgspec.json.encode(document(app))


def document(app: Flask) -> dict[str, Any]:
    """The document of the routes that `app` has."""
    found = list(_operations(app))
    models = {str(m): m for _, spec in found for m in [*_models(spec), Problem]}
    _, components = msgspec.json.schema_components([models[name] for name in sorted(models)], ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for rule, spec in found:
        path = _PARAMETER.sub(r"{\2}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(rule, method, spec, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Caxton", "version": __version__, "description": _DESCRIPTION},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": _SECURITY},
    }


def _operations(app: Flask) -> Iterator[tuple[Rule, Operation]]:
    for rule in app.url_map.iter_rules():
        spec = getattr(app.view_functions[rule.endpoint], ATTRIBUTE, None)
        if spec is not None:
            yield rule, spec


def _models(spec: Operation) -> Iterator[Any]:
    for models in (*spec.answers.values(), *spec.media.values()):
        if models is not None:
            yield from _one_of(models)
    if spec.body is not None:
        yield spec.body
    if spec.query is not None:
        yield spec.query
    if spec.streams is not None:
        yield _STREAMED[spec.streams]


def _operation(rule: Rule, method: str, spec: Operation, components: dict[str, Any]) -> dict[str, Any]:
    name = rule.endpoint.replace(".", "_")
    permission = required(method, rule.rule)
    made: dict[str, Any] = {
        "operationId": name,
        "summary": spec.summary,
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": [*_path_parameters(rule), *_query_parameters(spec, components), *_header_parameters(spec)],
        "responses": {**_answers(spec), **_errors(spec, permission, changing="GET" not in (rule.methods or ()))},
        "security": [] if permission is None else [{"apiKey": []}, {"bearer": []}, {}],
    }
    if permission is not None:
        roles = sorted(role for role, has in PERMISSIONS.items() if permission in has)
        made |= {"x-permission": permission, "x-roles": roles}
    media = spec.media or ({"application/json": spec.body} if spec.body is not None else {})
    if media:
        content = {kind: {"schema": _schema(model)} for kind, model in media.items()}
        made["requestBody"] = {"required": bool(spec.media) or _has_required(spec.body), "content": content}
    return made


def _has_required(model: Any) -> bool:
    info = msgspec.inspect.type_info(model)
    return isinstance(info, msgspec.inspect.StructType) and any(field.required for field in info.fields)


def _one_of(models: Any) -> tuple[Any, ...]:
    return models if isinstance(models, tuple) else (models,)


def _schema(models: Any) -> dict[str, Any]:
    schemas, _ = msgspec.json.schema_components(_one_of(models), ref_template=REF)
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for kind, name in _PARAMETER.findall(rule.rule):
        schema = _PATH_SCHEMAS.get(kind, {"type": "string", "minLength": 1})
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(spec: Operation, components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if spec.query is None:
        return
    properties = components.get(spec.query.__name__, {}).get("properties", {})
    for name, schema in properties.items():
        yield {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is not one that may be `null`."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    return (
        dict(options[0])
        if len(options) == 1
        else {k: v for k, v in schema.items() if v is not None or k != "default"}
    )


def _header_parameters(spec: Operation) -> Iterator[dict[str, Any]]:
    for name in spec.headers:
        yield {"name": name, "in": "header", "required": False, "schema": _HEADER_SCHEMAS[name]}


def _answers(spec: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for status, model in spec.answers.items():
        answer: dict[str, Any] = {"description": "as asked for"}
        if model is not None:
            answer["content"] = {kind: {"schema": _schema(model)} for kind in _one_of(spec.answer_media)}
        if spec.streams is not None and status == 200:
            streamed = {
                kind: {"schema": {"type": "string"}} for kind in ("text/event-stream", "application/x-ndjson")
            }
            answer["content"] = {**answer.get("content", {}), **streamed}
            answer["description"] = f"as asked for; a stream's elements are {spec.streams}"
        made[str(status)] = answer
    return made


def _errors(spec: Operation, permission: Permission | None, *, changing: bool) -> dict[str, Any]:
    codes: set[Code] = {*EVERYWHERE, *spec.errors}
    codes |= set() if permission is None else set(AUTHENTICATED)
    codes |= set(CHANGING) if changing else set()
    codes |= set(WITH_BODY) if spec.body is not None or spec.media else set()
    statuses = sorted({HTTP_STATUS[code] for code in codes})
    made = {str(status): _error(code for code in codes if HTTP_STATUS[code] == status) for status in statuses}
    return {**made, TOO_LONG: _error([Code.HEADERS_TOO_LARGE])}


def _error(codes: Iterable[Code]) -> dict[str, Any]:
    names = ", ".join(sorted(codes))
    return {"description": names, "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}}}


_SECURITY: Final = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
_DESCRIPTION: Final = (
    "An appliance that runs untrusted WebAssembly agents behind durable mailboxes. Errors are RFC 9457 problems; "
    "switch on `error.code`. Every answer carries `X-Request-Id` and `X-Trace-Id`."
)
