"""Who is calling: API keys and HS256 tokens.

Owns the check of credentials in every worker. Must never log one, or decide what a subject may do.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

import jwt
import msgspec

from caxton.api.router_client import RouterClient
from caxton.api.trace import ENVIRON_KEY
from caxton.config import Config
from caxton.protocol.access import Caller, Role
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.keys import key_id_of, key_matches
from caxton.protocol.operations import Named
from caxton.protocol.views import KeyRecord

ANONYMOUS: Final = "anonymous"
CALLER: Final = "caxton.caller"
"""Where the environ keeps the caller."""
CACHE_SECONDS: Final = 1.0
"""How long a revoked key may still be taken by a worker."""
LEEWAY_SECONDS: Final = 10.0
_CACHE_ENTRIES: Final = 10_000
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_NO_KEY: Final = KeyRecord(key_id="", subject="", salt=b"\0" * 16, digest=b"\0" * 32)
_decode_record = msgspec.json.Decoder(KeyRecord).decode


class Authenticator:
    """Turns the credentials of a request into the caller."""

    def __init__(self, config: Config, router: RouterClient) -> None:
        self.enabled = config.security.auth_enabled
        self._secret = config.security.jwt_secret or ""
        self._header = "HTTP_" + config.security.api_key_header.upper().replace("-", "_")
        self._timeout = config.networking.request_timeout
        self._router = router
        self._records: dict[str, tuple[float, KeyRecord]] = {}

    def caller(self, environ: dict[str, Any]) -> Caller:
        """Who calls, or `UNAUTHORIZED`; on a node without authentication `anonymous`, who may do everything.

        Asked once per request: the environ keeps the answer.
        """
        found: Caller | None = environ.get(CALLER)
        if found is None:
            found = environ[CALLER] = self._identify(environ)
        return found

    def _identify(self, environ: dict[str, Any]) -> Caller:
        address = environ.get("REMOTE_ADDR", "")
        request_id = environ[ENVIRON_KEY].request_id
        if not self.enabled:
            return Caller(ANONYMOUS, Role.ADMIN, address=address, request_id=request_id)
        return Caller(self._subject(environ), Role.ADMIN, address=address, request_id=request_id)

    def _subject(self, environ: dict[str, Any]) -> str:
        if key := environ.get(self._header):
            return self._by_key(key)
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self._by_token(token.strip())
        raise _refused("credentials are needed: an API key or a bearer token")

    def _by_key(self, text: str) -> str:
        key_id = key_id_of(text)
        record = self._record(key_id) if key_id else _NO_KEY
        now = time.time()
        expired = record.expires_at is not None and record.expires_at <= now
        # The hash is compared for unknown keys too, so that time does not tell which ids exist.
        if not key_matches(text, record.salt, record.digest) or expired or record.revoked_at is not None:
            raise _refused("this API key is unknown, expired or revoked")
        return record.subject

    def _record(self, key_id: str) -> KeyRecord:
        found = self._records.get(key_id)
        now = time.monotonic()
        if found is not None and found[0] > now:
            return found[1]
        try:
            record = _decode_record(self._router.call("key.lookup", Named(key_id), timeout=self._timeout))
        except CaxtonError as error:
            if error.code is not Code.KEY_NOT_FOUND:
                raise
            record = _NO_KEY
        if len(self._records) >= _CACHE_ENTRIES:
            self._records.clear()
        self._records[key_id] = (now + CACHE_SECONDS, record)
        return record

    def _by_token(self, token: str) -> str:
        if not self._secret:
            raise _refused("this node takes no tokens: [security] jwt_secret is not set")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )
        except (jwt.InvalidTokenError, ValueError):
            raise _refused("this token is malformed, expired or not signed by this node") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise _refused("the token's sub is no subject: letters, digits, . _ @ -, at most 128")
        return subject


def _refused(message: str) -> CaxtonError:
    return CaxtonError(Code.UNAUTHORIZED, message)
