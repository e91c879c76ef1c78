"""Cursors of lists: opaque to clients, one position inside the store to us.

Owns limits and the encoding of a cursor. Must never query.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code

MAX_LIMIT: Final = 200
MAX_CURSOR_LENGTH: Final = 2_048

Position = list[str | int | float]
_decoder = msgspec.msgpack.Decoder(Position)


def check_limit(limit: int) -> int:
    """`limit` if it is 1 to 200, else `INVALID_REQUEST`."""
    if 1 <= limit <= MAX_LIMIT:
        return limit
    raise CaxtonError(
        Code.INVALID_REQUEST,
        f"limit: {limit} is not 1 to {MAX_LIMIT}",
        path="limit",
        found=limit,
        minimum=1,
        maximum=MAX_LIMIT,
    )


def write_cursor(*position: str | int | float) -> str:
    """A position (the sort key of the last item shown) as a cursor."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(position)).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type) -> Position | None:
    """The position that `write_cursor` was given, checked to be of `kinds`; `INVALID_REQUEST` for anything else."""
    if cursor is None:
        return None
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise ValueError("too long")
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        position = _decoder.decode(raw)
        if len(position) != len(kinds):
            raise ValueError("other list")
        return [_as(value, kind) for value, kind in zip(position, kinds, strict=True)]
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "cursor: not one that this list gave; pass `next_cursor` of the page before, unchanged",
            path="cursor",
        ) from error


def read_last(cursor: str | None) -> str | None:
    """The name of the last item shown, of a cursor by `write_last`."""
    position = read_cursor(cursor, str)
    return None if position is None else str(position[0])


def write_last(name: str | None) -> str | None:
    """A cursor for a list that goes by name; None stays None: the end."""
    return None if name is None else write_cursor(name)


def _as(value: str | int | float, kind: type) -> str | int | float:
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise ValueError("other list")
    return value
