"""What a deployer who is bound to a namespace may give to an agent: nothing that leads out of it.

Owns these rules. Pure: must never know which agents there are, so that a refusal says nothing of them.

`http` is not bounded here: which addresses an agent may connect to is the node's rule (`[networking] egress_allow`),
the same for every namespace, and is applied to the address of every connection, not to what a deployer writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from caxton.protocol.access import namespace_of
from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.names import CAPABILITY_PREFIX, TOPIC_PREFIX

EVERYBODY: Final = ["*"]


def bounded(config: AgentConfig, namespace: str | None) -> AgentConfig:
    """`config` as somebody bound to `namespace` may deploy it, or `FORBIDDEN`; None: it is taken as it is.

    The default of `send`, everybody, becomes everybody in the namespace. Whoever was given more by name is refused
    rather than cut down: an agent that lost a grant in silence would fail later, and somewhere else.
    """
    if namespace is None:
        return config
    if namespace_of(config.name) != namespace:
        _refuse(namespace, "name", config.name, f"{namespace}/…")
    grants = config.grants
    if grants.send == EVERYBODY:
        grants = msgspec.structs.replace(grants, send=[f"{namespace}/*"])
    inside = f"{namespace}/"
    _require(namespace, "grants.send", grants.send, (inside, TOPIC_PREFIX + inside, CAPABILITY_PREFIX + inside))
    _require(namespace, "grants.topics", grants.topics, (inside,))
    _require(namespace, "grants.secrets", grants.secrets, (inside,))
    _require(namespace, "capabilities", config.capabilities, (inside,))
    if grants.dirs:
        _refuse(namespace, "grants.dirs", [grant.guest for grant in grants.dirs], [])
    return msgspec.structs.replace(config, grants=grants)


def require_bounded(config: AgentConfig, namespace: str | None) -> None:
    """`FORBIDDEN` unless somebody bound to `namespace` could have deployed exactly this; None: anybody can."""
    if bounded(config, namespace) != config:
        _refuse(str(namespace), "grants.send", EVERYBODY, [f"{namespace}/…"])


def own_names(names: Iterable[str], agent: str) -> list[str]:
    """The capabilities that an agent may claim for itself: those of its own namespace."""
    return [name for name in names if namespace_of(name) == namespace_of(agent)]


def _require(namespace: str, path: str, found: list[str], prefixes: tuple[str, ...]) -> None:
    for index, text in enumerate(found):
        if not text.startswith(prefixes):
            _refuse(namespace, f"{path}[{index}]", text, [f"{prefix}…" for prefix in prefixes])


def _refuse(namespace: str, path: str, found: Any, expected: Any) -> None:
    shown = found[:128] if isinstance(found, str) else found
    raise CaxtonError(
        Code.FORBIDDEN,
        f"{path}: {shown!r} leads out of the namespace {namespace!r}, to which this credential is bound",
        path=path,
        found=shown,
        expected=expected,
        namespace=namespace,
    )
