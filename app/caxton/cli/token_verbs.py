"""`caxton token …`: tokens signed with the node's secret, and the end of tokens whoever signed them.

Owns the claims of a token. Must never print the secret.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

import click
import msgspec

from caxton.cli.access import ScopeOptions, scope_options
from caxton.cli.audited import note_done
from caxton.cli.local import ask_router
from caxton.cli.render import emit_json, emit_page, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.config import Security, format_duration, load
from caxton.protocol.access import Scope
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.operations import Listing, TokenRevoke
from caxton.telemetry import timestamp

COLUMNS = {"JTI": "jti", "REVOKED": "revoked_at", "EXPIRES": "expires_at"}
MOST_SECONDS: Final = 365 * 86_400.0


@click.group()
def token() -> None:
    """Tokens (JWT). Nodes that share [security] jwt_secret all take what one of them signs."""


@token.command()
@click.option("--subject", required=True, help="Who will use it.")
@scope_options()
@click.option("--ttl", type=Duration(), help="How long it is good (default: [security] jwt_expiry; at most 365d).")
@output_options
@pass_state
def create(state: State, subject: str, ttl: float | None, **scope: Any) -> None:
    """Print a token signed with the secret of this host; use it as CAXTON_TOKEN, or in `Authorization: Bearer`."""
    import jwt

    may = ScopeOptions(**scope).scope()
    security = load(state.config_file, os.environ).config.security
    secret = _secret(security)
    lifetime = security.jwt_expiry if ttl is None else ttl
    if not 0 < lifetime <= MOST_SECONDS:
        raise click.UsageError(f"--ttl: expected more than 0, at most {format_duration(MOST_SECONDS)}")
    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": int(now + lifetime), "jti": new_id(), **_claims(may, security)}
    text = jwt.encode(claims, secret, algorithm="HS256")
    shown = {"jti": claims["jti"], "expires_at": timestamp(now + lifetime), **msgspec.to_builtins(may)}
    note_done(state, "token.create", subject, **shown)
    if state.as_json:
        emit_json({"token": text, "jti": claims["jti"], "subject": subject, "expires_at": timestamp(now + lifetime)})
        return
    click.echo(text)
    note(state, f"good for {format_duration(lifetime)} as {may.role}; caxton token revoke {claims['jti']} ends it")


@token.command()
@click.argument("text", metavar="JTI_OR_TOKEN")
@output_options
@pass_state
def revoke(state: State, text: str) -> None:
    """Refuse a token from now on, on this node: by its jti, or the whole token (or `-`: read from standard input)."""
    text = sys.stdin.read().strip() if text == "-" else text
    answer = ask_router(state, "token.revoke", _revocation(text))
    if state.as_json:
        emit_json(answer)
    else:
        note(state, f"{answer['jti']} is revoked; other nodes have to be told too")


@token.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=200, show_default=True)
@output_options
@pass_state
def list_verb(state: State, limit: int) -> None:
    """List revoked tokens."""
    emit_page(state, ask_router(state, "token.list", Listing(limit=limit)), COLUMNS)


def _secret(security: Security) -> str:
    if security.jwt_algorithm != "HS256":
        raise CaxtonError(
            Code.CONFIG_INVALID,
            f"tokens of this node are signed elsewhere: jwt_algorithm is {security.jwt_algorithm}, and a node has "
            "the public key only. Ask whoever has the private one, or make an API key: "
            "caxton key create --subject NAME --role ROLE",
            path="security.jwt_algorithm",
        )
    if security.jwt_secret is None:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            "[security] jwt_secret is not set, so this node takes no tokens. Set it (openssl rand -base64 48), "
            "run this as root if it is a systemd credential, or make an API key: "
            "caxton key create --subject NAME --role ROLE",
            path="security.jwt_secret",
        )
    return security.jwt_secret


def _claims(scope: Scope, security: Security) -> dict[str, Any]:
    given = {"iss": security.jwt_issuer, "aud": security.jwt_audience, **msgspec.to_builtins(scope)}
    return {name: value for name, value in given.items() if value is not None}


def _revocation(text: str) -> TokenRevoke:
    """Of a whole token its end is known, and so for how long this has to be remembered; nothing of it is believed."""
    if text.count(".") != 2 or not text.startswith("ey"):
        return TokenRevoke(text)
    import jwt

    try:
        claims = jwt.decode(text, options={"verify_signature": False})
        return TokenRevoke(str(claims["jti"]), float(claims["exp"]))
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
        raise click.UsageError("this token has no jti or no exp; nodes refuse it anyway") from None
