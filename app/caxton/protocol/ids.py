"""Identifiers: fresh ones, derived ones, and the check of ids that come from outside.

Owns how an id is made (spec/messages.md, "Delivery"). Must never look an id up.
"""

from __future__ import annotations

import os
import re
import uuid
from hashlib import blake2b
from typing import Final

_IDEMPOTENCY_NAMESPACE: Final = uuid.UUID("6f1d8a4e-5a0b-5c8e-9a57-0c6f2b1e7d11")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A random UUID (version 4) in canonical lower case."""
    digits = os.urandom(16).hex()  # uuid.uuid4 takes five times as long, three times a request
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def derived_id(parent_id: str, ordinal: int, content: bytes = b"") -> str:
    """The id of the `ordinal`-th message of the execution that handles `parent_id`.

    The same execution run again, here or elsewhere, gives the same ids, so receivers drop what they have
    seen. `content` takes part for `request` only (spec/abi.md). The result is a version-8 UUID (RFC 9562).
    """
    digest = bytearray(blake2b(b"%b\0%d\0%b" % (parent_id.encode(), ordinal, content), digest_size=16).digest())
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def idempotent_id(subject: str, key: str, index: int = 0) -> str:
    """The message id that an `Idempotency-Key` stands for: `uuid5(subject, key, index in the batch)`."""
    return str(uuid.uuid5(_IDEMPOTENCY_NAMESPACE, f"{subject}\0{key}\0{index}"))


def is_uuid(text: str) -> bool:
    """Whether `text` is a canonical lower-case UUID of any version."""
    return _UUID.fullmatch(text) is not None
