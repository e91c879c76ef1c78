"""The WSGI callable: ids on every answer, the hot routes in front of Flask, the last resort for faults.

Owns what happens to a request before and after its view. Must never treat a route differently from Flask's
view of it: both call `hot`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Flask

from caxton.api import headers, hot, problems, trace
from caxton.api.cors import Cors
from caxton.api.gateway import EXTENSION, Gateway
from caxton.api.lane import Answer, Answerer, Headers
from caxton.api.link import PREFIX as INTERNAL
from caxton.api.link import TAKEN_OVER, Links
from caxton.api.permissions import INVOKE, PREFIX, SUBMIT
from caxton.api.plain import Environ
from caxton.api.proxies import SCHEME, Proxies
from caxton.api.report import Report
from caxton.api.router_client import ClientGoneError
from caxton.api.traffic import UNKNOWN, Observe
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import LINK_PATH
from caxton.telemetry.concern import concerns

_AGENTS: Final = f"{PREFIX}/agents/"
_INVOKE: Final = "/invoke"
_MESSAGES: Final = SUBMIT[1]
INVOKE_ROUTE: Final = INVOKE[1]
"""Both routes as Flask writes them: what counts requests has to name them alike."""
ENVIRON_ROUTE: Final = "caxton.route"
log = logging.getLogger(__name__)
View = Callable[[Environ], hot.JsonAnswer]
StartResponse = Callable[..., Any]


class Front:
    """Serves the hot routes itself and hands everything else to Flask."""

    def __init__(
        self, flask: Flask, *, short_cut: bool = True, observe: Observe | None = None, links: Links | None = None
    ) -> None:
        self.flask = flask
        self._links = links
        self._gateway: Gateway = flask.extensions[EXTENSION]
        self._report = Report(observe)
        self._proxies = Proxies(self._gateway.config.security.trusted_proxies)
        self._cors = Cors(self._gateway.config.security)
        self._short_cut = short_cut

    def takes(self, path: bytes) -> Answerer | None:
        """What answers a plain POST to this path without WSGI, if it is one of the hot routes."""
        if not self._short_cut:
            return None
        found = self._hot_view(path.decode())
        return None if found is None else lambda environ: self._answer(environ, *found)

    def limited(self, reason: str) -> None:
        """A connection was refused before it asked anything."""
        self._gateway.limits.count(reason)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        if self._short_cut and environ["REQUEST_METHOD"] == "POST" and not environ["QUERY_STRING"]:
            found = self._hot_view(environ["PATH_INFO"])
            if found is not None:
                status, given, body = self._answer(environ, *found)
                start_response(status, given + headers.ALWAYS)
                return [body]
        self._proxies.apply(environ)
        made = environ[trace.ENVIRON_KEY] = trace.begin(environ)
        concerns(made.request_id, made.trace_id)
        began = time.monotonic()

        def start(status: str, given: Headers, exc_info: Any = None) -> Any:
            route = environ.get(ENVIRON_ROUTE, UNKNOWN)
            self._report.answered(environ, environ["REQUEST_METHOD"], route, status, time.monotonic() - began)
            own = self._own(environ, made, found=status.startswith("2"))
            return start_response(status, headers.completed(given) + own, exc_info)

        if self._links is not None and environ["PATH_INFO"].startswith(INTERNAL):
            return self._internal(self._links, environ, start)
        return self.flask.wsgi_app(environ, start)

    def _internal(self, links: Links, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Another node: its connection becomes a link. Everybody else is refused."""
        began = time.monotonic()
        try:
            environ[TAKEN_OVER] = links.open(environ)
        except Exception as error:
            self._gateway.denials.saw(error, environ)
            refused = refuse(error, environ[trace.ENVIRON_KEY])
            start(problems.status_line(refused.status), refused.headers)
            return [refused.body]
        self._report.answered(environ, "POST", LINK_PATH, "101", time.monotonic() - began)
        return []

    def _hot_view(self, path: str) -> tuple[View, str] | None:
        if path.endswith(_INVOKE) and path.startswith(_AGENTS):
            name = path[len(_AGENTS) : -len(_INVOKE)]
            return lambda environ: hot.invoke(self._gateway, environ, name), INVOKE_ROUTE
        if path == _MESSAGES:
            return lambda environ: hot.submit(self._gateway, environ), _MESSAGES
        return None

    def _answer(self, environ: Environ, view: View, route: str) -> Answer:
        """Without the headers that every answer has: the lane has them ready-made."""
        began = time.monotonic()
        self._proxies.apply(environ)
        answer = self._view(environ, view)
        self._report.answered(environ, "POST", route, answer[0], time.monotonic() - began)
        return answer

    def _view(self, environ: Environ, view: View) -> Answer:
        made = environ[trace.ENVIRON_KEY] = trace.begin(environ)
        concerns(made.request_id, made.trace_id)
        try:
            status, text, location = view(environ)
        except Exception as error:
            self._gateway.denials.saw(error, environ)
            refused = refuse(error, made)
            return problems.status_line(refused.status), refused.headers + self._own(environ, made), refused.body
        given = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        if location:
            given.append(("Location", location))
        line = "200 OK" if status == 200 else problems.status_line(status)
        return line, given + self._own(environ, made), text

    def _own(self, environ: Environ, made: trace.Trace, *, found: bool = True) -> Headers:
        """What an answer says whatever its view says, `headers.ALWAYS` not included."""
        return (
            made.headers()
            + self._gateway.limits.headers(environ)
            + self._cors.headers(environ, found=found)
            + headers.by_scheme(environ.get(SCHEME, ""))
        )


def refuse(error: Exception, made: trace.Trace) -> problems.Rendered:
    """The problem that a view's exception is answered with; faults of ours are logged under the trace id."""
    if isinstance(error, hot.NothingAcceptedError):
        return problems.render(error, made.trace_id, extra={"items": error.items_view()})
    if isinstance(error, CaxtonError):
        return problems.render(error, made.trace_id)
    if isinstance(error, ClientGoneError):
        return problems.render(problems.internal(), made.trace_id, status=408)
    log.error("a request failed", exc_info=error)  # the line has its ids
    return problems.render(problems.internal(), made.trace_id)
