"""Credentials for nodes that ask for them: tokens with any claims, keys of every role.

Owns the secret that test nodes share. Must never be imported by the product.
"""

from __future__ import annotations

import time
from typing import Any, Final

import httpx
import jwt

from caxton.protocol.access import Role
from caxton.protocol.ids import new_id
from support.node import Node

SECRET: Final = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"
KEY_HEADER: Final = "X-API-Key"
GUARDED: Final[dict[str, Any]] = {"auth_enabled": True, "jwt_secret": SECRET, "unauthenticated_burst": 10_000}
"""`[security]` of a node that asks who is calling, takes what is signed here, and lets tests fail as often as they
have to."""
DAY: Final = 86_400
"""A whole run of the tests is shorter, and tokens may be made when it begins."""
ADMIN_BASE: Final = "/api/v1/admin"


def claims(role: Role | str = Role.ADMIN, subject: str = "root", **more: Any) -> dict[str, Any]:
    """The claims of a good token; `more` are added, or taken away where they are None."""
    agents = {"agents": ["*"]} if role == Role.AGENT_CLIENT else {}
    found = {"sub": subject, "role": str(role), "exp": time.time() + DAY, "jti": new_id(), **agents, **more}
    return {name: value for name, value in found.items() if value is not None}


def token(role: Role | str = Role.ADMIN, subject: str = "root", *, secret: str = SECRET, **more: Any) -> str:
    """A token with these claims, signed with `secret`."""
    return jwt.encode(claims(role, subject, **more), secret, "HS256")


def bearer(role: Role | str = Role.ADMIN, subject: str = "root", **more: Any) -> dict[str, str]:
    """The header of a request by somebody with this role."""
    return {"Authorization": f"Bearer {token(role, subject, **more)}"}


def make_key(node: Node, subject: str, role: Role | str = Role.ADMIN, **more: Any) -> dict[str, Any]:
    """An API key of the node, as its admin address answers: `key` is its text.

    `more`: namespace, agents, ttl_seconds.
    """
    agents = {"agents": ["*"]} if role == Role.AGENT_CLIENT else {}
    body = {"subject": subject, "role": str(role), **agents, **more}
    answer = httpx.post(f"{node.admin_url}{ADMIN_BASE}/keys", json=body, headers=bearer(), timeout=30)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())
