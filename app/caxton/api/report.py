"""What is written down about a request: counted always, its line where somebody wants to know.

Owns the line's fields; app/docs/logs.md describes them. Must never log a credential, a body or a path.
"""

from __future__ import annotations

import logging
from typing import Final

from caxton.api import spans
from caxton.api.auth import CALLER
from caxton.api.plain import Environ
from caxton.api.proxies import CLIENT, SCHEME
from caxton.api.trace import ENVIRON_AGENT, ENVIRON_KEY, Trace
from caxton.api.traffic import METHODS, UNKNOWN, Observe
from caxton.protocol.access import Caller
from caxton.telemetry.canonical import Budget, Lines

_MESSAGE: Final = "request"


class Report:
    """Called once for each answer."""

    def __init__(self, observe: Observe | None) -> None:
        self._observe = observe
        self._lines = Lines("caxton.request")
        self._of_refusals = Budget(per_second=10.0, burst=20)
        """Refused credentials: whoever floods a node with them must not hide what else goes wrong there."""

    def answered(self, environ: Environ, method: str, route: str, status: str, seconds: float) -> None:
        """`status` begins with its three digits."""
        if self._observe is not None:
            self._observe(method, route, status, seconds)
        if method not in METHODS:
            method = UNKNOWN  # whatever it is, a client wrote it
        spans.answered(environ, method, route, status)
        made: Trace | None = environ.get(ENVIRON_KEY)
        level, budget = self._worth(status, route, asked=made is not None and made.started > 0)
        if self._lines.wants(level, budget):
            self._lines.write(_MESSAGE, level, budget, _fields(environ, made, method, route, status, seconds))

    def _worth(self, status: str, route: str, *, asked: bool) -> tuple[int, Budget]:
        """The level of its line, and what that is paid from."""
        lines = self._lines
        if status < "4":
            return (logging.INFO if asked and not spans.is_unasked(route) else logging.DEBUG), lines.of_successes
        if spans.is_unasked(route):
            return logging.DEBUG, lines.of_failures  # a node that is not ready is asked twice a second
        if status.startswith("401"):
            return logging.WARNING, self._of_refusals
        return (logging.WARNING if status >= "5" else logging.INFO), lines.of_failures


def _fields(
    environ: Environ, made: Trace | None, method: str, route: str, status: str, seconds: float
) -> dict[str, object]:
    caller: Caller | None = environ.get(CALLER)
    return {
        "method": method,
        "route": route,
        "status": int(status[:3]),
        "seconds": round(seconds, 6),
        "agent": environ.get(ENVIRON_AGENT),
        "subject": caller and caller.subject,
        "credential": caller and caller.credential,
        "client": environ.get(CLIENT, ""),
        "scheme": environ.get(SCHEME, ""),
        "request_id": made and made.request_id,
        "trace_id": made and made.trace_id,
    }
