"""Namespaces: quotas, what is used of them, and how both are asked for.

Owns these shapes. Must never decide whether there is room.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

NAMESPACE_PATTERN: Final = "^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"
NamespaceName = Annotated[str, Meta(pattern=NAMESPACE_PATTERN)]
"""The part before the slash of an agent's name."""
_LARGEST: Final = 2**53
Whole = Annotated[int, Meta(ge=0, le=_LARGEST)]


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How much of the node a namespace may use; what is left out is not limited.

    `messages_per_second`: accepted for its agents from clients and timers, or sent by its agents, with bursts of
    one second's worth. `stored_bytes`: waiting messages, dead letters, keys, snapshots.
    `cpu_seconds_per_minute`: CPU time of its agents.
    """

    agents: Whole | None = None
    messages_per_second: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    stored_bytes: Whole | None = None
    cpu_seconds_per_minute: Annotated[float, Meta(gt=0, le=1e6)] | None = None


class NamespaceSet(msgspec.Struct, frozen=True):
    """Replace the quotas of a namespace."""

    name: str
    quota: Quota


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a namespace uses. `stored_bytes` may be a little high in lists, never low.

    `messages`, `cpu_seconds`, `refused` count since the router began; `held`: its agents start nothing until a rate
    has room again.
    """

    agents: int
    stored_bytes: int | None
    messages: int
    cpu_seconds: float
    refused: dict[str, int]
    held: bool


class NamespaceView(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of GET /namespaces/{name}. Without quotas `quota` is empty."""

    name: str
    quota: Quota
    usage: Usage
