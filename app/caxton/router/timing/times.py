"""Times as clients see them: RFC 3339, UTC, microseconds.

Owns the one format. Must never read a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as `2026-01-31T12:00:00.000000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_or_none(seconds: float | None) -> str | None:
    """The same for a time that may be absent."""
    return None if seconds is None else rfc3339(seconds)
