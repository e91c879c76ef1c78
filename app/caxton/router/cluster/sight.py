"""What the cluster's work on this node asks of links and members, as plain interfaces.

Owns these two shapes. Must never know how they are kept.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

import msgspec


class Links(Protocol):
    """Calls to other nodes; `cluster.links.Peers` is one."""

    async def call(self, node: str, op: str, args: msgspec.Struct, *, timeout: float = ...) -> bytes:
        """The JSON of the answer; raises its refusal, or `NOT_READY` where the node cannot be reached."""

    def stream(self, node: str, op: str, args: msgspec.Struct) -> AsyncGenerator[bytes, None]:
        """The JSON of each item."""


class Sight(Protocol):
    """Who is a member now; `cluster.membership.Members` is one."""

    @property
    def node_id(self) -> str:
        """This node."""

    @property
    def active(self) -> tuple[str, ...]:
        """Who agents are placed on."""

    @property
    def reachable(self) -> frozenset[str]:
        """Who answers, directly or by way of another."""

    @property
    def states(self) -> Mapping[str, str]:
        """All that are in, this node included."""

    @property
    def out(self) -> Mapping[str, str]:
        """All others that are known, and why."""

    @property
    def nodes(self) -> frozenset[str]:
        """All that belong to the cluster, there or not, this node included."""

    @property
    def majority(self) -> bool:
        """Whether this side may change things."""
