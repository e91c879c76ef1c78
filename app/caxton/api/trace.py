"""Which request this is: request id and W3C trace context, taken from the client or made.

Owns their validation. Must never log or export anything.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from caxton.protocol.ids import new_id

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ENVIRON_KEY: Final = "caxton.trace"


class Trace(NamedTuple):
    """The ids of one request; `traceparent` is what the message carries on."""

    request_id: str
    trace_id: str
    traceparent: str

    def headers(self) -> list[tuple[str, str]]:
        """The headers that every answer carries."""
        return [("X-Request-Id", self.request_id), ("X-Trace-Id", self.trace_id)]


def begin(environ: Mapping[str, Any]) -> Trace:
    """The trace of this request; malformed ids of the client are replaced, never refused."""
    request_id = environ.get("HTTP_X_REQUEST_ID", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = new_id()
    parent = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    trace_id = parent[1] if parent else f"{random.getrandbits(128) or 1:032x}"  # nosec B311 # no secret
    flags = parent[3] if parent else "01"
    span = random.getrandbits(64) or 1  # nosec B311 # no secret
    return Trace(request_id, trace_id, f"00-{trace_id}-{span:016x}-{flags}")
