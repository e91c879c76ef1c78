"""Which pages of other sites may ask, and read what is answered (the CORS protocol of the Fetch standard).

Owns the Access-Control-* headers. Must never allow credentials of the browser's own (cookies, client certificates):
who asks shows a key or a token in a header, and that makes `*` safe to offer. Must never refuse a request: browsers
do.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.config.sections import Security

ANY: Final = "*"
MAX_AGE_SECONDS: Final = 600
_OPAQUE: Final = "null"
"""The origin of sandboxed frames and files, whoever wrote them: it names nobody, so nobody can allow it."""
_ASKED: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "Prefer")
_TRACED: Final = ("X-Request-Id", "traceparent", "tracestate")
_EXPOSED: Final = (
    *("ETag", "Location", "Retry-After", "X-Request-Id", "X-Trace-Id"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
)
Headers = list[tuple[str, str]]


class Cors:
    """What `[security] cors_*` allows."""

    def __init__(self, security: Security) -> None:
        self._enabled = security.cors_enabled
        self._any = ANY in security.cors_origins
        self._origins = frozenset(origin.lower() for origin in security.cors_origins)  # as browsers write them
        self._methods = frozenset(security.cors_methods)
        asked = (security.api_key_header, *_ASKED, *_TRACED)
        self._preflight = [
            ("Access-Control-Allow-Methods", ", ".join(security.cors_methods)),
            ("Access-Control-Allow-Headers", ", ".join(asked)),
            ("Access-Control-Max-Age", str(MAX_AGE_SECONDS)),
        ]
        self._answer = [("Access-Control-Expose-Headers", ", ".join(_EXPOSED))]

    def headers(self, environ: dict[str, Any], *, found: bool = True) -> Headers:
        """For the answer to this request, errors included. `found`: whether there is a route, for a preflight."""
        if not self._enabled:
            return []
        vary = [] if self._any else [("Vary", "Origin")]
        origin: str = environ.get("HTTP_ORIGIN", "")
        if not self.allows(origin):
            return vary
        allowed = [("Access-Control-Allow-Origin", ANY if self._any else origin), *vary]
        method = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if environ["REQUEST_METHOD"] != "OPTIONS" or method is None:
            return allowed + self._answer
        return allowed + self._preflight if found and method in self._methods else vary

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may ask."""
        if not self._enabled or not origin or origin == _OPAQUE:
            return False
        return self._any or origin in self._origins
