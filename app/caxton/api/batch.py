"""A batch of messages, taken apart into the texts of its items.

Owns the bound on their number, which holds before the items do: a body of 64 MiB has room for 30 million. Must
never decode an item.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import check_utf8, decode
from caxton.protocol.requests import MAX_BATCH

_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_LINE: Final = re.compile(rb"[^ \t\r\n][^\n]*+")
"""A line from its first visible character on: lines without one are passed over, not collected."""


def split_lines(data: bytes) -> list[bytes]:
    """The lines of NDJSON; `PAYLOAD_TOO_LARGE` for more than `MAX_BATCH`."""
    return _bounded([found[0] for found in islice(_LINE.finditer(data), MAX_BATCH + 1)])


def split_array(data: bytes) -> list[bytes]:
    """The items of a JSON array; `PAYLOAD_TOO_LARGE` for more than `MAX_BATCH`.

    Depth and duplicate keys are looked for in each item, when it is parsed.
    """
    if data.count(b",") >= MAX_BATCH:
        check_utf8(data)
        if _is_longer(data):
            raise _refused(MAX_BATCH + 1)
    return _bounded([bytes(item) for item in decode(data, _array_decoder, parts=True)])


def _is_longer(data: bytes) -> bool:
    """Whether the array has too many items, found out at the first of these: a list's decoder would make them all."""
    try:
        _first_items().decode(data)
    except msgspec.ValidationError:
        return True
    except (msgspec.DecodeError, RecursionError):
        pass  # the decoder of all items says it better
    return False


@cache
def _first_items() -> msgspec.json.Decoder[Any]:
    """A tuple of at most `MAX_BATCH` items: the only type for which msgspec stops at the first item too many."""
    fields = [(f"item_{index}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for index in range(MAX_BATCH)]
    first = msgspec.defstruct("FirstItems", fields, array_like=True, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(first)


def _bounded(texts: list[bytes]) -> list[bytes]:
    if 0 < len(texts) <= MAX_BATCH:
        return texts
    raise _refused(len(texts))


def _refused(found: int) -> CaxtonError:
    return CaxtonError(
        Code.PAYLOAD_TOO_LARGE if found else Code.INVALID_REQUEST,
        f"{'more than ' if found > MAX_BATCH else ''}{min(found, MAX_BATCH)} messages in one request",
        found=found,
        expected=f"1 to {MAX_BATCH} messages",
    )
