"""What each route asks for: the one table, for the public and for the admin application.

Owns which permission opens which route, and the refusal of a caller who has it not. Must never look at a credential.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol.access import NODE_WIDE, PERMISSIONS, Caller, Permission, Role
from caxton.protocol.errors import CaxtonError, Code

PREFIX: Final = "/api/v1"
Route = tuple[str, str]
"""Method and rule, as Flask writes it."""
INVOKE: Final[Route] = ("POST", f"{PREFIX}/agents/<agent:name>/invoke")
SUBMIT: Final[Route] = ("POST", f"{PREFIX}/messages")

_BELOW_PREFIX: Final[dict[Permission, str]] = {
    Permission.FOLLOW: """
        GET /messages/<message:message_id>
        GET /jobs/<job_id>
        GET /openapi.json
        GET /docs
        GET /whoami
    """,
    Permission.READ: """
        GET /agents
        GET /agents/<agent:name>
        GET /agents/<agent:name>/executions
        GET /agents/<agent:name>/history
        GET /agents/<agent:name>/http-calls
        GET /agents/<agent:name>/recordings
        GET /executions/<execution>/recording
        GET /agents/<agent:name>/logs
        GET /agents/<agent:name>/messages
        GET /agents/<agent:name>/rollout
        GET /agents/<agent:name>/schedules
        GET /agents/<agent:name>/state
        GET /agents/<agent:name>/versions
        GET /messages
        GET /dead-letters
        GET /dead-letters/<message:message_id>
        GET /conversations
        GET /conversations/<path:conversation_id>
        GET /capabilities
        GET /capabilities/<agent:name>
        GET /topics
        GET /topics/<topic:name>
        GET /tasks
        GET /tasks/<task_id>
        GET /ledger
        GET /node
        GET /events
        GET /namespaces
        GET /namespaces/<name>
        GET /cluster
        GET /cluster/nodes
        GET /cluster/plan
        GET /cluster/reports
    """,
    Permission.SEND: """
        POST /agents/<agent:name>/invoke
        POST /messages
    """,
    Permission.DELEGATE: """
        POST /tasks
        DELETE /tasks/<task_id>
    """,
    Permission.OPERATE: """
        POST /agents/<agent:name>/start
        POST /agents/<agent:name>/stop
        DELETE /messages/<message:message_id>
        POST /dead-letters/replay
        POST /dead-letters/<message:message_id>/replay
        POST /dead-letters/<message:message_id>/skip
        POST /dead-letters/purge
    """,
    Permission.DEPLOY: """
        POST /agents
        PUT /agents/<agent:name>
        DELETE /agents/<agent:name>
        POST /agents/<agent:name>/rollback
        POST /agents/<agent:name>/rollout
        PUT /capabilities/<agent:name>
        DELETE /capabilities/<agent:name>
        POST /topics/<topic:name>/subscribe
        POST /topics/<topic:name>/unsubscribe
        GET /secrets
        PUT /secrets/<agent:name>
        DELETE /secrets/<agent:name>
    """,
    Permission.MAINTAIN: """
        GET /node/facts
        POST /cluster/nodes/<node_id>/drain
        POST /cluster/nodes/<node_id>/undrain
        POST /admin/drain
        POST /admin/undrain
        POST /admin/pause
        POST /admin/resume
        POST /admin/log-level
        POST /admin/gc
    """,
    Permission.ADMINISTER: """
        GET /admin/keys
        POST /admin/keys
        DELETE /admin/keys/<key_id>
        POST /admin/keys/<key_id>/rotate
        GET /admin/tokens
        GET /audit
        DELETE /admin/tokens/<jti>
        PUT /namespaces/<name>
        DELETE /namespaces/<name>
    """,
}
OPEN: Final[frozenset[Route]] = frozenset(
    {
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", f"{PREFIX}/health"),
        ("GET", f"{PREFIX}/ready"),
        # Prometheus brings no credentials. Numbers and agents' names, no message; the firewall says who may ask.
        ("GET", "/metrics"),
        # Who opens it says who he is in the first message: a browser has no other way (`live`). Then it takes `read`.
        ("GET", "/ws"),
        # Files, the same for everybody: whoever has them signs in and asks this API.
        ("GET", "/console"),
        ("GET", "/console/<name>"),
    }
)
"""Routes that ask for nothing. There are no others."""


def _listed() -> dict[Route, Permission]:
    found: dict[Route, Permission] = {}
    for permission, lines in _BELOW_PREFIX.items():
        for line in lines.split("\n"):
            if line.strip():
                method, path = line.split()
                found[method, PREFIX + path] = permission
    return found


PERMISSION_OF: Final[dict[Route, Permission]] = _listed()
"""What each route that is not open asks for."""


def required(method: str, rule: str) -> Permission | None:
    """What the route asks for; None when it is open. A route that nobody listed is a `KeyError`: it stays closed."""
    route = ("GET" if method == "HEAD" else method, rule)
    return None if route in OPEN else PERMISSION_OF[route]


def require(caller: Caller, permission: Permission) -> None:
    """Raises `FORBIDDEN` unless the caller has the permission: names the caller's role, and those that would do."""
    if caller.may(permission):
        return
    roles = sorted(role for role, has in PERMISSIONS.items() if permission in has)
    bound = caller.namespace is not None and permission in NODE_WIDE
    why = f", and not bound to a namespace as this one is ({caller.namespace})" if bound else ""
    raise CaxtonError(
        Code.FORBIDDEN,
        f"the role {caller.role} may not do this: it takes the permission {permission}, "
        f"which {_one_of(roles)} {'have' if len(roles) > 1 else 'has'}{why}",
        role=caller.role,
        needed=permission,
        roles=roles,
    )


def _one_of(roles: list[Role]) -> str:
    return roles[0] if len(roles) == 1 else f"{', '.join(roles[:-1])} and {roles[-1]}"
