"""API keys: their text, and what is kept of them.

Owns the form `caxton_<key id>_<secret>` and the salted hash, which covers what the key may do. Must never store or
print a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

import msgspec

from caxton.protocol.access import Role, Scope

_KEY = re.compile(r"caxton_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
SALT_BYTES: Final = 16
UNBOUND: Final = Scope(Role.ADMIN)
"""Everything, everywhere."""


class NewKey(NamedTuple):
    """A key that was just made; `text` is shown once and never kept."""

    key_id: str
    text: str
    salt: bytes
    digest: bytes


def new_key(scope: Scope) -> NewKey:
    """A fresh key with 256 bits of secret, which may do what `scope` says."""
    key_id, salt = secrets.token_hex(8), secrets.token_bytes(SALT_BYTES)
    text = f"caxton_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, text, salt, key_digest(salt, text, scope))


def key_id_of(text: str) -> str | None:
    """The id inside a key's text, or None when this is no key."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def key_digest(salt: bytes, text: str, scope: Scope) -> bytes:
    """Salted SHA-256 of the whole text and of its scope. A slow hash adds nothing: the secret has 256 random bits.

    The scope of an unbound administrator adds nothing: that is the digest of a release that knew no roles, which so
    goes on with these keys and refuses all others, instead of taking every key for an administrator's.
    """
    bound = b"" if scope == UNBOUND else msgspec.json.encode([scope.role, scope.namespace, scope.agents])
    return hashlib.sha256(salt + text.encode() + bound).digest()


def key_matches(text: str, salt: bytes, digest: bytes, scope: Scope) -> bool:
    """Whether `text` is the key that `digest` was made of, and `scope` what it was made for; constant time."""
    return hmac.compare_digest(key_digest(salt, text, scope), digest)
