"""Cursors of lists that go by `seq`, newest first: the `seq` of the last row shown, as text.

Owns their form. Must never query.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol.errors import CaxtonError, Code

_NEWEST: Final = 2**63 - 1
_DIGITS: Final = 18


def before(cursor: str | None) -> int:
    """What the rows of the page are older than; `INVALID_REQUEST` for what no page can have given."""
    if cursor is None:
        return _NEWEST
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > _DIGITS:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"cursor: {cursor[:40]!r} did not come from a page before",
            path="cursor",
            expected="next_cursor of the page before",
        )
    return int(cursor)
