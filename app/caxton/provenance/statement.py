"""The text that is signed, and the file that carries it with its signature (app/docs/provenance.md).

Owns the form, which other tools make too. Must never decide whether a signature is believed.
"""

from __future__ import annotations

import base64
import re
import time
from calendar import timegm
from dataclasses import dataclass
from typing import Final

from caxton.provenance.keys import PrivateKey, key_id_of
from caxton.provenance.scope import is_scope

HEAD: Final = "caxton-module-signature v1"
NEVER: Final = "never"
MAX_BYTES: Final = 2_048
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_FORM: Final = re.compile(
    rf"(?P<signed>{HEAD}\n"
    r"sha256: (?P<sha256>[0-9a-f]{64})\n"
    r"for: (?P<scope>[^\n]{1,130})\n"
    r"key: (?P<key>[0-9a-f]{16})\n"
    r"expires: (?P<expires>never|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n)"
    r"signature: (?P<signature>[A-Za-z0-9+/]{86}==)\n?",
    re.ASCII,
)


@dataclass(frozen=True)
class Statement:
    """What a signer says: this module may be the agents in `scope`. `expires`: seconds since the epoch, or None."""

    sha256: str
    scope: str
    key_id: str
    expires: int | None = None

    def text(self) -> str:
        """The signed bytes, as ASCII."""
        until = NEVER if self.expires is None else time.strftime(_TIME, time.gmtime(self.expires))
        return f"{HEAD}\nsha256: {self.sha256}\nfor: {self.scope}\nkey: {self.key_id}\nexpires: {until}\n"


@dataclass(frozen=True)
class Signature:
    """A statement as it was read, with the bytes that were signed and the signature over them. Not verified."""

    statement: Statement
    signed: bytes
    signature: bytes


def sign(key: PrivateKey, sha256: str, scope: str, expires: int | None = None) -> str:
    """The whole text of a signature file."""
    signed = Statement(sha256, scope, key_id_of(key.public_key()), expires).text()
    return f"{signed}signature: {base64.b64encode(key.sign(signed.encode())).decode()}\n"


def parse_signature(text: str) -> Signature | None:
    """A signature file's parts; None when it is not exactly of the form."""
    found = _FORM.fullmatch(text) if len(text) <= MAX_BYTES else None
    if found is None or not is_scope(found["scope"]):
        return None
    try:
        expires = None if found["expires"] == NEVER else timegm(time.strptime(found["expires"], _TIME))
    except ValueError:  # a 31st of February
        return None
    statement = Statement(found["sha256"], found["scope"], found["key"], expires)
    return Signature(statement, found["signed"].encode(), base64.b64decode(found["signature"]))
