"""Secrets that are none: placeholders, and what a person types to get on.

Owns what counts as one. Must never quote a secret.
"""

from __future__ import annotations

import base64
import binascii
from itertools import pairwise
from typing import Final

from caxton.config.problems import Problem

MIN_SECRET_BYTES: Final = 32
KEY_BYTES: Final = (16, 24, 32)
_WORDS: Final = (
    "secret", "password", "passphrase", "changeme", "change-me", "change_me", "replace", "placeholder", "example",
    "your-", "your_", "jwt-", "jwt_", "xxxxxx", "insert-", "insert_",
)  # fmt: skip
"""Six letters at least, or a dash: chance puts none of them into a random secret."""
_DIFFERENT: Final = 8
_STEPS: Final = 0.6


def problems_of(key: str, secret: str, hint: str) -> list[Problem]:
    """A secret that is a text, such as the one of tokens."""
    if is_guessable(secret):
        return [Problem(key, "a placeholder, or one that is easily guessed", "a random secret", hint)]
    length = len(secret.encode())
    if length < MIN_SECRET_BYTES:
        return [Problem(key, f"{length} bytes", f"at least {MIN_SECRET_BYTES} bytes", hint)]
    return []


def problems_of_key(key: str, text: str, hint: str) -> list[Problem]:
    """A secret that is bytes in base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return [Problem(key, "no base64", "base64", hint)]
    if len(raw) not in KEY_BYTES:
        return [Problem(key, f"{len(raw)} bytes in base64", "16, 24 or 32 bytes in base64", hint)]
    if is_guessable(raw.decode("latin-1")):
        return [Problem(key, "a placeholder, or one that is easily guessed", "random bytes", hint)]
    return []


def is_guessable(secret: str) -> bool:
    """Whether it holds a word of placeholders, few different characters, a part again and again, or a sequence."""
    if any(word in secret.lower() for word in _WORDS) or len(set(secret)) < _DIFFERENT:
        return True
    if any(secret == (secret[:part] * len(secret))[: len(secret)] for part in range(1, len(secret) // 2 + 1)):
        return True
    steps = sum(abs(ord(one) - ord(next_)) <= 1 for one, next_ in pairwise(secret))
    return steps > _STEPS * len(secret)
