"""Text that came from outside, made harmless for a terminal and for a log.

Owns the escaping of control characters. Must never drop a character.
"""

from __future__ import annotations

from datetime import UTC, datetime


def escape_controls(text: str) -> str:
    """`text` with every character that is not printable (line ends, escapes, bidi marks) as `\\x..` or `\\u....`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
