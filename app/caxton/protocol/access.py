"""Who calls, and what each role may do.

Owns roles, permissions and the caller that travels with every operation. Must never verify a credential (the API
does), or look anything up.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

MAX_PATTERNS: Final = 64
_MAX_NAMESPACE: Final = 64
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?").fullmatch
_PATTERN: Final = re.compile(r"[a-z0-9._/*?-]{1,128}").fullmatch

SUBJECT: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}"
"""The pattern of whoever a key or a token is for; without anchors, as the next."""
JTI: Final = r"[!-~]{1,255}"
"""The pattern of a token's id."""


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

    FOLLOW = "follow"
    """See what became of one message or job whose id one has, and the description of the API."""
    READ = "read"
    """Look at agents, messages, dead letters, conversations, the ledger, events."""
    SEND = "send"
    """Send messages to agents that are named."""
    DELEGATE = "delegate"
    """Have a task done by whichever agents offer the capability."""
    OPERATE = "operate"
    """Start and stop agents, treat dead letters, cancel messages."""
    DEPLOY = "deploy"
    """Bring, change and remove agents, and say who offers and who hears what."""
    MAINTAIN = "maintain"
    """Drain and pause the node, set its log level."""
    ADMINISTER = "administer"
    """Give and take access."""


NODE_WIDE: Final = frozenset({Permission.MAINTAIN, Permission.ADMINISTER})
"""What concerns everybody on the node: never for a caller who is bound to a namespace, whatever the role."""
_WORK: Final = frozenset({Permission.FOLLOW, Permission.READ, Permission.SEND, Permission.DELEGATE})
PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.FOLLOW, Permission.READ}),
    Role.AGENT_CLIENT: frozenset({Permission.FOLLOW, Permission.SEND}),
    Role.OPERATOR: _WORK | {Permission.OPERATE, Permission.MAINTAIN},
    Role.DEPLOYER: _WORK | {Permission.DEPLOY},
    Role.ADMIN: frozenset(Permission),
}


class Caller(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Who asks for an operation, as the API found out; it travels with every call to the router.

    `namespace`: the only one in reach (None: all). `agents`: glob patterns of the agents that an `agent-client` may
    send to (None: all in reach). `credential`: `key:ID`, `token:JTI`, `certificate:FINGERPRINT`, `local:UID`,
    `node:ID` or `none`; never a secret. `address`: the client's, as far as trusted proxies say so. `request_id`,
    `trace_id`: of the HTTP request.
    """

    subject: str
    role: Role
    namespace: str | None = None
    agents: tuple[str, ...] | None = None
    credential: str = "none"
    address: str = ""
    request_id: str = ""
    trace_id: str = ""

    @property
    def node(self) -> str | None:
        """The node that asks over its link; None for everybody else."""
        return self.subject[5:] if self.credential.startswith("node:") and self.subject == self.credential else None

    def may(self, permission: Permission) -> bool:
        """Whether the role has the permission, in whatever is in reach."""
        return permission in PERMISSIONS[self.role] and (self.namespace is None or permission not in NODE_WIDE)


class Scope(msgspec.Struct, frozen=True):
    """What a key or a token says its bearer may do: see `Caller`."""

    role: Role
    namespace: str | None = None
    agents: tuple[str, ...] | None = None

    def problem(self) -> tuple[str, str] | None:
        """What is wrong with it, as the field's name and what would be right; None when nothing is."""
        if self.namespace is not None and not (len(self.namespace) <= _MAX_NAMESPACE and _NAMESPACE(self.namespace)):
            return "namespace", f"1 to {_MAX_NAMESPACE} of a-z 0-9 . _ - (no dash or dot at an end)"
        if (self.role is Role.AGENT_CLIENT) != (self.agents is not None):
            return "agents", f"glob patterns of agents for the role {Role.AGENT_CLIENT}, and for no other role"
        if self.agents is not None and not (0 < len(self.agents) <= MAX_PATTERNS and all(map(_PATTERN, self.agents))):
            return "agents", f"1 to {MAX_PATTERNS} patterns such as billing, team/* or mail-?: a-z 0-9 . _ - / * ?"
        return None


def local_caller(uid: int) -> Caller:
    """Somebody on this host who may open the router's socket: that is all the proof there is, and enough."""
    return Caller(f"local:{uid}", Role.ADMIN, credential=f"local:{uid}")


def node_caller(node_id: str) -> Caller:
    """Another node of the cluster, as its certificate says; what it asks on somebody's behalf names them."""
    return Caller(f"node:{node_id}", Role.ADMIN, credential=f"node:{node_id}")


def namespace_of(name: str) -> str | None:
    """`team` of `team/name`; None for a name without one."""
    team, slash, _ = name.partition("/")
    return team if slash else None
