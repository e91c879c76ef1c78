"""Who calls, and what each role may do.

Owns roles, permissions and the caller that travels with every operation. Must never verify a credential (the API
does), or look anything up.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Role(StrEnum):
    """What somebody is to this node; the value is what keys and tokens say."""

    VIEWER = "viewer"
    """Sees everything in reach but secrets and the audit."""
    AGENT_CLIENT = "agent-client"
    """Sends messages to the agents that are named, and sees what became of them."""
    OPERATOR = "operator"
    """Sees, sends, starts and stops, treats dead letters, drains."""
    DEPLOYER = "deployer"
    """Sees, sends, and brings, changes and removes agents with their secrets."""
    ADMIN = "admin"
    """Everything."""


class Permission(StrEnum):
    """What a route asks for. Every route has one (`caxton.api.permissions`)."""

    READ = "read"
    SEND = "send"
    OPERATE = "operate"
    DEPLOY = "deploy"
    ADMINISTER = "administer"


PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.AGENT_CLIENT: frozenset({Permission.SEND}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.SEND, Permission.OPERATE}),
    Role.DEPLOYER: frozenset({Permission.READ, Permission.SEND, Permission.DEPLOY}),
    Role.ADMIN: frozenset(Permission),
}


class Caller(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Who asks for an operation, as the API found out; it travels with every call to the router.

    `namespace`: the only one in reach (None: all). `agents`: glob patterns of the agents that an `agent-client` may
    send to (None: all in reach). `credential`: `key:ID`, `token:JTI`, `certificate:FINGERPRINT`, `local:UID` or
    `none`; never a secret. `address`: the client's, as far as trusted proxies say so. `request_id`: of the HTTP
    request.
    """

    subject: str
    role: Role
    namespace: str | None = None
    agents: tuple[str, ...] | None = None
    credential: str = "none"
    address: str = ""
    request_id: str = ""

    def may(self, permission: Permission) -> bool:
        """Whether the role has the permission, in whatever is in reach."""
        return permission in PERMISSIONS[self.role]


def local_caller(uid: int) -> Caller:
    """Somebody on this host who may open the router's socket: that is all the proof there is, and enough."""
    return Caller(f"local:{uid}", Role.ADMIN, credential=f"local:{uid}")


def namespace_of(name: str) -> str | None:
    """`team` of `team/name`; None for a name without one."""
    team, slash, _ = name.partition("/")
    return team if slash else None
