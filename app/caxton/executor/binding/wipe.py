"""Bytes that held a secret, overwritten in place.

Owns that one liberty with an immutable object. Must never be used on bytes that anything else holds.
"""

from __future__ import annotations

import ctypes
from typing import Final

_OFFSET: Final = bytes.__basicsize__ - 1
"""Where the content of a bytes object begins; the last byte of its basic size is the NUL behind it."""


def wipe(data: bytes) -> None:
    """Overwrites `data` with zeros. Shorter than two bytes it is left alone: those objects are the interpreter's."""
    if len(data) > 1:
        ctypes.memset(id(data) + _OFFSET, 0, len(data))
