"""The WSGI callable: ids on every answer, the hot routes in front of Flask, the last resort for faults.

Owns what happens to a request before and after its view. Must never treat a route differently from Flask's
view of it: both call `hot`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Flask

from caxton.api import hot, problems, trace
from caxton.api.gateway import EXTENSION, Gateway
from caxton.api.router_client import ClientGoneError
from caxton.protocol.errors import CaxtonError

PREFIX: Final = "/api/v1"
_AGENTS: Final = f"{PREFIX}/agents/"
_INVOKE: Final = "/invoke"
_MESSAGES: Final = f"{PREFIX}/messages"
log = logging.getLogger(__name__)
Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Front:
    """Serves the hot routes itself and hands everything else to Flask."""

    def __init__(self, flask: Flask, *, short_cut: bool = True) -> None:
        self.flask = flask
        self._gateway: Gateway = flask.extensions[EXTENSION]
        self._short_cut = short_cut

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        made = environ[trace.ENVIRON_KEY] = trace.begin(environ)
        if self._short_cut and environ["REQUEST_METHOD"] == "POST" and not environ["QUERY_STRING"]:
            path: str = environ["PATH_INFO"]
            if path.endswith(_INVOKE) and path.startswith(_AGENTS):
                name = path[len(_AGENTS) : -len(_INVOKE)]
                return self._answer(environ, start_response, lambda: hot.invoke(self._gateway, environ, name))
            if path == _MESSAGES:
                return self._answer(environ, start_response, lambda: hot.submit(self._gateway, environ))

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, headers + made.headers(), exc_info)

        return self.flask.wsgi_app(environ, start)

    def _answer(
        self, environ: Environ, start_response: StartResponse, view: Callable[[], hot.JsonAnswer]
    ) -> Iterable[bytes]:
        made: trace.Trace = environ[trace.ENVIRON_KEY]
        try:
            status, text, location = view()
        except Exception as error:
            refused = refuse(error, made)
            start_response(problems.status_line(refused.status), refused.headers + made.headers())
            return [refused.body]
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(text))),
            ("X-Request-Id", made.request_id),
            ("X-Trace-Id", made.trace_id),
        ]
        if location:
            headers.append(("Location", location))
        start_response("200 OK" if status == 200 else problems.status_line(status), headers)
        return [text]


def refuse(error: Exception, made: trace.Trace) -> problems.Rendered:
    """The problem that a view's exception is answered with; faults of ours are logged under the trace id."""
    if isinstance(error, hot.NothingAcceptedError):
        return problems.render(error, made.trace_id, extra={"items": error.items_view()})
    if isinstance(error, CaxtonError):
        return problems.render(error, made.trace_id)
    if isinstance(error, ClientGoneError):
        return problems.render(problems.internal(), made.trace_id, status=408)
    log.error("request %s failed, trace id %s", made.request_id, made.trace_id, exc_info=error)
    return problems.render(problems.internal(), made.trace_id)
