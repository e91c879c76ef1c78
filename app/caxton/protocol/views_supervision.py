"""What clients see of schedules and of outbound HTTP calls.

Owns the names of those fields. Must never compute a value.
"""

from __future__ import annotations

import msgspec


class ScheduleView(msgspec.Struct, frozen=True):
    """One schedule of an agent. `next_due` null: never, or the agent does not run. Jitter is not added."""

    name: str
    cron: str
    time_zone: str
    jitter_seconds: float
    misfire: str
    next_due: str | None
    last_due: str | None


class SchedulePage(msgspec.Struct, frozen=True):
    """All schedules of an agent."""

    items: list[ScheduleView]
    next_cursor: str | None = None


class HttpCallView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One outbound HTTP call. `sha256` is of the body that the guest got; `error` says why there is no answer."""

    at: str
    execution_id: str
    message_id: str
    method: str
    url: str
    duration_seconds: float
    request_bytes: int
    response_bytes: int
    redirects: int
    idempotency_key: str
    status: int | None = None
    address: str | None = None
    sha256: str | None = None
    error: str | None = None


class HttpCallPage(msgspec.Struct, frozen=True):
    """One page of outbound HTTP calls."""

    items: list[HttpCallView]
    next_cursor: str | None = None
