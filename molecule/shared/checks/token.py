"""A token that every node of the scenario takes: they share the secret that the inventory made (RFC 7519, HS256).

Owns the signing. Must never be used outside the lab.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid

from checks import site

LIFETIME_SECONDS = 3600


def token(subject: str = "scenario", role: str = "admin") -> str:
    """A bearer token for `subject`, good for an hour."""
    secret = (site.state() / "jwt_secret").read_text().strip().encode()
    claims = {"sub": subject, "role": role, "jti": str(uuid.uuid4()), "exp": int(time.time()) + LIFETIME_SECONDS}
    signed = ".".join(_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{_encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
