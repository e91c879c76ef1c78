"""The node's key, and the one before it: AES-256-GCM, each secret bound to its name.

Owns the cipher. Must never keep a plain value.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from caxton.config import Security
from caxton.protocol.secrets import key_id_of, key_of
from caxton.store import SecretRow

NONCE_BYTES: Final = 12
_BOUND_TO: Final = b"caxton secret v1\0"


class Keyring:
    """`current` (its id) encrypts; every key of the configuration decrypts. None: the node has no key."""

    def __init__(self, security: Security) -> None:
        self._ciphers: dict[str, AESGCM] = {}
        self.current: str | None = None
        for text in (security.previous_secrets_key, security.secrets_key):
            if text is not None:
                key = key_of(text)
                self.current = key_id_of(key)
                self._ciphers[self.current] = AESGCM(key)
        if security.secrets_key is None:
            self.current = None

    def has(self, key_id: str) -> bool:
        """Whether what that key encrypted can be read."""
        return key_id in self._ciphers

    def seal(self, name: str, value: bytes) -> tuple[str, bytes, bytes]:
        """Key, nonce and ciphertext; only with a current key."""
        assert self.current is not None  # the vault looked
        nonce = os.urandom(NONCE_BYTES)
        return self.current, nonce, self._ciphers[self.current].encrypt(nonce, value, _BOUND_TO + name.encode())

    def open(self, row: SecretRow) -> bytes | None:
        """The value; None when its key is not here, or the row is not what was written under this name."""
        cipher = self._ciphers.get(row.key_id)
        if cipher is None:
            return None
        try:
            return cipher.decrypt(row.nonce, row.ciphertext, _BOUND_TO + row.name.encode())
        except InvalidTag:
            return None
