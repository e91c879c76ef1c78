"""What is written down about a request: counted always, logged where somebody wants to know.

Owns these lines. Must never log a credential, a body or a path.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from caxton.api import spans
from caxton.api.plain import Environ
from caxton.api.proxies import CLIENT, SCHEME
from caxton.api.trace import ENVIRON_KEY
from caxton.api.traffic import Observe
from caxton.telemetry import event

_LOGGER: Final = "caxton.api"
_REFUSED_EVERY_SECONDS: Final = 0.1
"""Refused credentials are logged at most this often by each worker: a flood of them must not fill the disk."""
log = logging.getLogger(_LOGGER)


class Report:
    """Called once for each answer."""

    def __init__(self, observe: Observe | None) -> None:
        self._observe = observe
        self._next_refusal = 0.0
        self._unsaid = 0

    def answered(self, environ: Environ, method: str, route: str, status: str, seconds: float) -> None:
        """`status` begins with its three digits."""
        if self._observe is not None:
            self._observe(method, route, status, seconds)
        spans.answered(environ, method, route, status)
        if status.startswith("401"):
            self._refused(environ, route)
        if log.isEnabledFor(logging.DEBUG):
            fields: dict[str, Any] = {"method": method, "status": status[:3], "seconds": round(seconds, 6)}
            event("request", logging.DEBUG, logger=_LOGGER, route=route, **fields, **_who(environ))

    def _refused(self, environ: Environ, route: str) -> None:
        now = time.monotonic()
        if now < self._next_refusal:
            self._unsaid += 1
            return
        more = {"more": self._unsaid} if self._unsaid else {}
        self._next_refusal, self._unsaid = now + _REFUSED_EVERY_SECONDS, 0
        event("credentials refused", logging.WARNING, logger=_LOGGER, route=route, **more, **_who(environ))


def _who(environ: Environ) -> dict[str, str]:
    made = environ.get(ENVIRON_KEY)
    return {
        "client": environ.get(CLIENT, ""),
        "scheme": environ.get(SCHEME, ""),
        "request_id": made.request_id if made else "",
    }
