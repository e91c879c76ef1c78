"""Who is calling: an API key or a token, and what it says its bearer may do.

Owns the caller of a request, and the one place where credentials are refused. Must never log one, or decide what a
route asks for.
"""

from __future__ import annotations

from typing import Any, Final

from caxton.api.api_keys import ApiKeys
from caxton.api.pages import LocalPages
from caxton.api.plain import environ_key
from caxton.api.router_client import RouterClient
from caxton.api.tokens import RefusedError, Tokens
from caxton.api.trace import ENVIRON_KEY
from caxton.config import Config
from caxton.protocol.access import Caller, Role, Scope
from caxton.protocol.errors import CaxtonError, Code

ANONYMOUS: Final = "anonymous"
CALLER: Final = "caxton.caller"
"""Where the environ keeps the caller."""


class Authenticator:
    """Turns the credentials of a request into the caller."""

    def __init__(self, config: Config, router: RouterClient) -> None:
        self.enabled = config.security.auth_enabled
        self._pages = LocalPages(config.security)
        self._header = environ_key(config.security.api_key_header)
        self._keys = ApiKeys(config, router)
        self._tokens = Tokens(config, router)

    def identify(self, environ: dict[str, Any]) -> Caller:
        """Who calls, or `UNAUTHORIZED`; on a node without authentication `anonymous`, who may do everything, or
        `FORBIDDEN` where a web page of somebody else asks.

        Of what holds now: also for whatever goes on after its request was let in.
        """
        try:
            return self._identify(environ)
        except RefusedError as refused:
            raise self._refusal(environ, refused) from None

    def _identify(self, environ: dict[str, Any]) -> Caller:
        if not self.enabled:
            self._pages.require(environ)
            return _caller(environ, ANONYMOUS, Scope(Role.ADMIN), "none")
        if key := environ.get(self._header):
            record = self._keys.record(key)
            return _caller(environ, record.subject, record.scope, f"key:{record.key_id}")
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            claims = self._tokens.claims(token.strip())
            return _caller(environ, claims.sub, claims.scope, f"token:{claims.jti}")
        raise RefusedError("credentials are needed: an API key or a bearer token")

    def _refusal(self, environ: dict[str, Any], refused: RefusedError) -> CaxtonError:
        """Every refusal of a credential, and of a request without one, comes by here."""
        given = self._header in environ or "HTTP_AUTHORIZATION" in environ
        return CaxtonError(Code.UNAUTHORIZED, str(refused), **({"reason": "invalid_token"} if given else {}))


def _caller(environ: dict[str, Any], subject: str, scope: Scope, credential: str) -> Caller:
    address, made = environ.get("REMOTE_ADDR", ""), environ[ENVIRON_KEY]
    of_request = (made.request_id, made.trace_id)
    return Caller(subject, scope.role, scope.namespace, scope.agents, credential, address, *of_request)
