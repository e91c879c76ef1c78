"""Tokens (JWT): signature, times, claims, revocation.

Owns what a token must look like. The algorithm and the key come from the configuration, never from the token. Must
never fetch a key, nor ask the router about a token whose signature does not hold.
"""

from __future__ import annotations

import base64
import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

import jwt
import msgspec
from msgspec import Meta

from caxton.api.brief import Brief
from caxton.api.router_client import RouterClient
from caxton.config import Config, Security, public_key
from caxton.protocol.access import JTI, SUBJECT, Role, Scope
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Named
from caxton.protocol.views import TokenRecord

MOST_BYTES: Final = 4_096
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+").fullmatch
_TYPES: Final = frozenset({"jwt", "at+jwt"})


class RefusedError(Exception):
    """A credential that is not taken; the text says why, to whoever holds it."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the head of a token may say. The names of keys are not looked at: there is one key.

    So nothing can name another key or a place to fetch one (jku, x5u, jwk, x5c), or ask for more (crit, b64, zip).
    """

    alg: str
    typ: str = "JWT"
    kid: Annotated[str, Meta(pattern="^[A-Za-z0-9._=-]{1,128}$")] | None = None
    x5t: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")] | None = None


class Claims(msgspec.Struct, frozen=True):
    """What a token must and may say of its bearer. A token without a role is refused: nobody gets one by silence."""

    sub: Annotated[str, Meta(pattern=f"^{SUBJECT}$")]
    exp: float
    jti: Annotated[str, Meta(pattern=f"^{JTI}$")]
    role: Role
    namespace: str | None = None
    agents: tuple[str, ...] | None = None

    @property
    def scope(self) -> Scope:
        """What the bearer may do."""
        return Scope(self.role, self.namespace, self.agents)


_decode_header: Final = msgspec.json.Decoder(Header).decode
_decode_record: Final = msgspec.json.Decoder(TokenRecord).decode


class Verifier:
    """Holds the one key that tokens are signed with; `CONFIG_INVALID` when it is none."""

    def __init__(self, security: Security) -> None:
        self._algorithm = security.jwt_algorithm
        self._key: Any = _key_of(security)
        self._leeway = security.jwt_leeway
        self._issuer = security.jwt_issuer
        self._audience = security.jwt_audience

    def claims(self, text: str) -> Claims:
        """What a token says whose signature, times, issuer and audience hold; `RefusedError` otherwise."""
        if self._key is None:
            raise RefusedError("this node takes no tokens: [security] jwt_secret is not set")
        if len(text) > MOST_BYTES or not _FORM(text):
            raise RefusedError(f"this is no token: three parts in base64url, at most {MOST_BYTES} bytes")
        self._check_header(text)
        return _claims(self._verified(text))

    def _check_header(self, text: str) -> None:
        head = text.partition(".")[0]
        try:
            header = _decode_header(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        except (ValueError, msgspec.DecodeError, RecursionError):
            raise RefusedError("the token's header is malformed, or says what this node does not take") from None
        if header.alg != self._algorithm or header.typ.lower() not in _TYPES:
            raise RefusedError(f"this node takes tokens of {self._algorithm} only")

    def _verified(self, text: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = jwt.decode(
                text,
                self._key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": ["exp", "sub", "jti"]},
            )
        except jwt.ExpiredSignatureError:
            raise RefusedError("the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise RefusedError("the token is not valid yet (nbf, iat)") from None
        except jwt.InvalidAudienceError:
            raise RefusedError("the token is for another audience (aud)") from None
        except jwt.InvalidIssuerError:
            raise RefusedError("the token is of another issuer (iss)") from None
        except jwt.MissingRequiredClaimError as error:
            raise RefusedError(f"the token has no {error.claim}") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            raise RefusedError("the token is malformed, or not signed with this node's key") from None
        return found


class Tokens:
    """Verifies tokens, and asks the router whether they were revoked."""

    def __init__(self, config: Config, router: RouterClient) -> None:
        self._verifier = Verifier(config.security)
        self._leeway = config.security.jwt_leeway
        self._timeout = config.networking.request_timeout
        self._router = router
        self._known = Brief[bytes, Claims]()

    def claims(self, text: str) -> Claims:
        """What the token says; `RefusedError` unless it holds now. Its end is looked at each time."""
        claims = self._known.of(sha256(text.encode()).digest(), lambda: self._look(text))
        if claims.exp + self._leeway <= time.time():
            raise RefusedError("the token has expired")
        return claims

    def _look(self, text: str) -> Claims:
        claims = self._verifier.claims(text)
        if _decode_record(self._router.call("token.lookup", Named(claims.jti), timeout=self._timeout)).revoked:
            raise RefusedError("the token was revoked")
        return claims


def _claims(found: dict[str, Any]) -> Claims:
    if "role" not in found:
        raise RefusedError(f"the token has no role; one of {', '.join(Role)} has to be in it")
    try:
        claims = msgspec.convert(found, Claims)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the token's claims: {error}") from None
    problem = claims.scope.problem()
    if problem is not None:
        raise RefusedError(f"the token's {problem[0]}: {problem[1]}")
    return claims


def _key_of(security: Security) -> Any:
    if security.jwt_algorithm == "HS256":
        return security.jwt_secret
    path = Path(str(security.jwt_public_key_path))
    try:
        return public_key(path.read_bytes(), security.jwt_algorithm)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"security.jwt_public_key_path: {path}: {reason}",
            path="security.jwt_public_key_path",
        ) from None
