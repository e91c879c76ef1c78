"""`caxton token create`: a token signed with the node's secret.

Owns the claims of a token. Must never print the secret.
"""

from __future__ import annotations

import os
import time

import click

from caxton.cli.audited import note_done
from caxton.cli.render import emit_json, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.config import format_duration, load
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.telemetry import timestamp


@click.group()
def token() -> None:
    """Tokens (JWT, HS256) signed with the secret of this host's configuration."""


@token.command()
@click.option("--subject", required=True, help="Who will use it.")
@click.option("--ttl", type=Duration(), help="How long it is good (default: [security] jwt_expiry).")
@output_options
@pass_state
def create(state: State, subject: str, ttl: float | None) -> None:
    """Print a token; use it as CAXTON_TOKEN, or in `Authorization: Bearer`."""
    import jwt

    security = load(state.config_file, os.environ).config.security
    if security.jwt_secret is None:
        raise CaxtonError(
            Code.CONFIG_INVALID,
            "[security] jwt_secret is not set, so this node takes no tokens. Set it (openssl rand -base64 48), "
            "or make an API key: caxton key create --subject NAME",
            path="security.jwt_secret",
        )
    lifetime = security.jwt_expiry if ttl is None else ttl
    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": int(now + lifetime), "jti": new_id()}
    text = jwt.encode(claims, security.jwt_secret, algorithm="HS256")
    note_done(state, "token.create", subject, jti=claims["jti"], expires_at=timestamp(now + lifetime))
    if state.as_json:
        emit_json({"token": text, "subject": subject, "expires_at": timestamp(now + lifetime)})
        return
    click.echo(text)
    note(state, f"good for {format_duration(lifetime)}")
