"""Agents' secrets as they cross a border: set, listed, removed, never read back.

Owns these models, the sizes, and the form of the node's key. Must never show a value: no `repr` here has one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

MAX_SECRET_BYTES: Final = 65_536
MAX_SECRETS: Final = 10_000
KEY_BYTES: Final = 32


class SecretBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /secrets/{name}: exactly one of text and base64."""

    value: Annotated[str, Meta(min_length=1, max_length=MAX_SECRET_BYTES)] | None = None
    value_base64: Annotated[str, Meta(min_length=1, max_length=MAX_SECRET_BYTES * 4 // 3 + 4)] | None = None

    def __repr__(self) -> str:
        return "SecretBody(…)"

    def content(self) -> bytes | None:
        """The bytes; None when it is neither one nor the other, or no base64."""
        if (self.value is None) == (self.value_base64 is None):
            return None
        if self.value is not None:
            return self.value.encode()
        try:
            return base64.b64decode(self.value_base64 or "", validate=True)
        except (binascii.Error, ValueError):
            return None


class SecretSet(msgspec.Struct, frozen=True):
    """Keep this value under this name; the next execution that asks for it sees it."""

    name: str
    value: bytes

    def __repr__(self) -> str:
        return f"SecretSet(name={self.name!r}, value=…)"


class SecretView(msgspec.Struct, frozen=True, kw_only=True):
    """A secret without its value. `version` counts the values it has had; `key_id`: what it is encrypted with.

    `readable`: whether this node has that key. Times are RFC 3339.
    """

    name: str
    version: int
    created_at: str
    updated_at: str
    key_id: str
    readable: bool


class Rekeyed(msgspec.Struct, frozen=True):
    """`count` secrets are encrypted with the key `key_id` now that were with another; `unreadable`: still are."""

    count: int
    key_id: str
    unreadable: list[str] = []


def key_of(text: str) -> bytes:
    """The bytes of `[security] secrets_key`, which the configuration has checked."""
    return base64.b64decode(text)


def key_id_of(key: bytes) -> str:
    """What is shown of a key: 16 hexadecimal digits that say nothing about its 256 random bits."""
    return hashlib.sha256(b"caxton secrets key\0" + key).hexdigest()[:16]
