"""The API's span of a request: `METHOD ROUTE`, a child of the client's.

Owns its name and attributes (OpenTelemetry's conventions for HTTP servers). Must never hold a credential, a body or
a path: the route says which it was.
"""

from __future__ import annotations

import time
from typing import Any, Final

import gevent

from caxton.api.plain import Environ
from caxton.api.proxies import CLIENT, SCHEME
from caxton.api.trace import ENVIRON_KEY, Trace
from caxton.config import Config
from caxton.protocol.spans import Attributes, Kind, Span
from caxton.telemetry.sampling import Sampling
from caxton.telemetry.spans import recorder, set_up_spans

_UNASKED: Final = ("/health", "/ready", "/metrics")
"""Only a client that samples them itself gets spans of them."""


def set_up(config: Config, service: str) -> None:
    """Has this process record spans, if the configuration wants traces. Before or after a fork."""
    Sampling.set_up(config.observability)
    set_up_spans(config, service, _later)


def is_unasked(route: str) -> bool:
    """Whether machines ask it all day."""
    return route.endswith(_UNASKED)


def answered(environ: Environ, method: str, route: str, status: str) -> None:
    """A request was answered; `status` begins with its three digits."""
    own = recorder()
    made: Trace | None = environ.get(ENVIRON_KEY)
    if own is None or made is None or not made.started:
        return
    if made.parent_id is None and is_unasked(route):
        return
    code = int(status[:3])
    attributes: Attributes = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": code,
        "url.scheme": environ.get(SCHEME) or "http",
        "client.address": environ.get(CLIENT) or environ.get("REMOTE_ADDR") or "",
        "caxton.request_id": made.request_id,
    }
    if code >= 500:
        attributes["error.type"] = status[:3]
    own.record(
        Span(
            made.trace_id,
            made.traceparent.split("-")[2],
            made.parent_id,
            f"{method} {route}",
            Kind.SERVER,
            made.started,
            time.time_ns(),
            attributes,
            status if code >= 500 else None,
        )
    )


def _later(seconds: float, flush: Any) -> None:
    gevent.spawn_later(seconds, flush)
