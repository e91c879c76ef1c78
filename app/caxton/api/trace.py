"""Which request this is: request id and W3C trace context, taken from the client or made.

Owns their validation. Must never log or export anything.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from caxton.protocol.ids import new_id
from caxton.protocol.spans import is_sampled
from caxton.telemetry.sampling import NOT_SAMPLED, SAMPLED, Sampling

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ENVIRON_KEY: Final = "caxton.trace"
ENVIRON_AGENT: Final = "caxton.agent"
"""Which agent it is about, where it is about one."""


class Trace(NamedTuple):
    """The ids of one request; `traceparent` is what the message carries on, `parent_id` the client's span."""

    request_id: str
    trace_id: str
    traceparent: str
    parent_id: str | None = None
    started: int = 0
    """In nanoseconds since the epoch; 0 for a request that is not sampled."""

    def headers(self) -> list[tuple[str, str]]:
        """The headers that every answer carries."""
        return [("X-Request-Id", self.request_id), ("X-Trace-Id", self.trace_id)]


def begin(environ: Mapping[str, Any]) -> Trace:
    """The trace of this request; malformed ids of the client are replaced, never refused."""
    request_id = environ.get("HTTP_X_REQUEST_ID", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = new_id()
    span = random.getrandbits(64) or 1  # nosec B311 # no secret
    parent = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    if parent:
        trace_id, parent_id, flags = parent.groups()
        traceparent = f"00-{trace_id}-{span:016x}-{flags}"
        return Trace(request_id, trace_id, traceparent, parent_id, time.time_ns() if is_sampled(traceparent) else 0)
    made = random.getrandbits(128) or 1  # nosec B311 # no secret
    if not Sampling.chooses(made):
        return Trace(request_id, f"{made:032x}", f"00-{made:032x}-{span:016x}-{NOT_SAMPLED}")
    return Trace(request_id, f"{made:032x}", f"00-{made:032x}-{span:016x}-{SAMPLED}", None, time.time_ns())
