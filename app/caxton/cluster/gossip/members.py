"""A member as serf tells of it, and the tags in which a node describes itself.

Owns the names of the tags and their limits: serf takes 512 bytes, all of them together. Must never put anything else
into gossip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from caxton.protocol.peers import NodeState

MAX_ADDRESS: Final = 260
"""Characters of a host name of the greatest length, a colon and a port."""
MAX_SOFTWARE: Final = 48
MAX_DIGEST: Final = 64
_API: Final = "api"
_LINK: Final = "link"
_SOFTWARE: Final = "ver"
_STATE: Final = "state"
_DIGEST: Final = "reg"


class Standing(StrEnum):
    """What serf thinks of a member. FAILED: it does not answer; LEFT: it said goodbye, or was sent away."""

    ALIVE = "alive"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True)
class GossipMember:
    """One node as serf knows it. `link_version` 0: it said none. `api_address` as `"host:port"`."""

    node_id: str
    api_address: str
    standing: Standing
    link_version: int
    software: str
    state: NodeState
    digest: str

    @property
    def alive(self) -> bool:
        """Whether serf hears from it. It may be unreachable all the same."""
        return self.standing is Standing.ALIVE


@dataclass(frozen=True)
class Tags:
    """What a node says of itself; its name is serf's node name. `digest`: of its registry, short."""

    api_address: str
    link_version: int
    software: str
    state: NodeState = NodeState.ACTIVE
    digest: str = ""

    def as_tags(self) -> dict[str, str]:
        """As serf takes them. `ValueError` when a value is longer than its share of the room."""
        for value, most in ((self.api_address, MAX_ADDRESS), (self.digest, MAX_DIGEST)):
            if len(value.encode()) > most:
                raise ValueError(f"{value!r} is longer than the {most} bytes that gossip has for it")
        return {
            _API: self.api_address,
            _LINK: str(self.link_version),
            _SOFTWARE: self.software[:MAX_SOFTWARE],
            _STATE: self.state,
            _DIGEST: self.digest,
        }


def member(node_id: str, status: str, tags: Mapping[str, str]) -> GossipMember | None:
    """A member out of what serf says; None for an agent of serf that is no node of ours.

    `status`: none, alive, leaving, left or failed. What a newer release says and this one does not know counts as
    no wish for work.
    """
    address = tags.get(_API, "")
    if not address:
        return None
    known = {"alive": Standing.ALIVE, "leaving": Standing.LEFT, "left": Standing.LEFT}
    state = tags.get(_STATE, NodeState.ACTIVE)
    link = tags.get(_LINK, "")
    return GossipMember(
        node_id=node_id,
        api_address=address,
        standing=known.get(status, Standing.FAILED),
        link_version=int(link) if link.isascii() and link.isdigit() else 0,
        software=tags.get(_SOFTWARE, ""),
        state=NodeState(state) if state in set(NodeState) else NodeState.DRAINING,
        digest=tags.get(_DIGEST, ""),
    )


def kept(tags: Mapping[str, str]) -> dict[str, str]:
    """Those tags that outlive a start of serf: what the router says, until it says it again."""
    return {name: tags[name] for name in (_STATE, _DIGEST) if name in tags}
