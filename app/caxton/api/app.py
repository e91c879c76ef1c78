"""The Flask application factory.

Owns which blueprints are served where. Must never hold a route itself.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from caxton.api import (
    admin,
    agents,
    audit,
    callers,
    capabilities,
    cluster,
    console,
    conversations,
    dead_letters,
    debugging,
    deployments,
    documents,
    live,
    messages,
    metrics,
    namespaces,
    node,
    recordings,
    secrets,
    supervision,
    tasks,
    topics,
    traffic,
    versions,
)
from caxton.api.converters import AgentName, MessageId, TopicName
from caxton.api.front import ENVIRON_ROUTE, Front, refuse
from caxton.api.gateway import EXTENSION, Gateway, gateway, trace
from caxton.api.link import Links
from caxton.api.permissions import PREFIX, required
from caxton.api.problems import render
from caxton.api.trace import ENVIRON_AGENT
from caxton.config import Config
from caxton.protocol.errors import CaxtonError, Code

_OF_AN_AGENT: Final = "/agents/<agent:name>"
_PUBLIC: Final = (
    agents,
    deployments,
    versions,
    messages,
    dead_letters,
    supervision,
    documents,
    conversations,
    capabilities,
    topics,
    tasks,
    audit,
    namespaces,
    secrets,
    cluster,
    callers,
    recordings,
    debugging,
)
_CODES: Final = {
    400: Code.INVALID_REQUEST,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    408: Code.REQUEST_TIMEOUT,
    413: Code.PAYLOAD_TOO_LARGE,
    414: Code.HEADERS_TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    431: Code.HEADERS_TOO_LARGE,
}


def create_app(config: Config, *, short_cut: bool = True) -> Front:
    """The public API as a WSGI callable."""
    app = _bare(config)
    for module in _PUBLIC:
        app.register_blueprint(module.blueprint, url_prefix=PREFIX)
    app.register_blueprint(node.blueprint, url_prefix=PREFIX)
    app.register_blueprint(live.blueprint)
    app.register_blueprint(console.blueprint)
    _probes(app)
    observe = traffic.observer(config) if config.observability.enable_metrics else None
    if config.observability.enable_metrics:
        app.extensions[EXTENSION].limits.count = traffic.limiter(config)
    app.before_request(_name_route)
    app.before_request(_count_visitors)
    app.before_request(_admit)
    return Front(app, short_cut=short_cut, observe=observe, links=Links(app.extensions[EXTENSION]))


def create_admin_app(config: Config) -> Front:
    """Metrics, and administration; the latter on the admin address only."""
    app = _bare(config)
    app.register_blueprint(admin.blueprint, url_prefix=PREFIX)
    app.register_blueprint(documents.blueprint, url_prefix=PREFIX)
    _probes(app)
    app.before_request(_name_route)
    if config.observability.enable_metrics:
        metrics.install(app)
    admin_port = config.networking.admin_address.rpartition(":")[2]

    @app.before_request
    def only_on_the_admin_address() -> None:
        """The same process serves the metrics address: nothing but /metrics and probes may be seen there."""
        if request.path.startswith(PREFIX) and request.environ.get("SERVER_PORT") != admin_port:
            raise CaxtonError(Code.NOT_FOUND, f"{request.path[:200]} is not here")

    app.before_request(_admit)
    return Front(app, short_cut=False)


def _bare(config: Config) -> Flask:
    app = Flask("caxton.api", static_folder=None)
    app.extensions[EXTENSION] = Gateway(config)
    app.url_map.converters |= {"agent": AgentName, "message": MessageId, "topic": TopicName}
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, _refused)
    return app


def _probes(app: Flask) -> None:
    app.register_blueprint(node.probes)
    app.register_blueprint(node.probes, url_prefix=PREFIX, name="probes_v1")


def _name_route() -> None:
    if request.url_rule is not None:
        rule = request.environ[ENVIRON_ROUTE] = request.url_rule.rule
        if _OF_AN_AGENT in rule:
            request.environ[ENVIRON_AGENT] = (request.view_args or {})["name"]


def _count_visitors() -> None:
    """Paths and methods that are none need no credentials, so the address pays; preflights are free."""
    if request.method != "OPTIONS" and request.url_rule is None:
        gateway().limits.visited(request.environ)


def _admit() -> None:
    """Before every view: a route that `permissions` does not know is closed. Flask itself answers OPTIONS."""
    if request.url_rule is not None and request.method != "OPTIONS":
        permission = required(request.method, request.url_rule.rule)
        if permission is not None:
            gateway().admit(request.environ, permission)


def _refused(error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        gateway().denials.saw(error, request.environ)
        refused = refuse(error, trace())
        return Response(refused.body, refused.status, refused.headers)
    status = error.code or 500
    code = _CODES.get(status, Code.INTERNAL_ERROR if status >= 500 else Code.INVALID_REQUEST)
    refused = render(CaxtonError(code, _words(status)), trace().trace_id, status=status)
    response = Response(refused.body, refused.status, refused.headers)
    allowed: Any = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _words(status: int) -> str:
    if status == 404:
        return f"there is nothing at {request.path[:200]}"
    if status == 405:
        return f"{request.method[:20]} is not possible at {request.path[:200]}"
    return "the request cannot be answered"
