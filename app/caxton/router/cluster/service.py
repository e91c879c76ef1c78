"""The parts of this node's membership in one place, as the desk holds them.

Owns nothing itself. Must never grow logic: each part has a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from caxton.cluster.gossip import Gossip
from caxton.cluster.links import Peers
from caxton.cluster.membership import Members
from caxton.router.cluster.beats import Beats


@dataclass(slots=True)
class Cluster:
    """`node_id`: this node's name, also in its certificate. `gossip`: who is a member, as serf sees it."""

    node_id: str
    gossip: Gossip
    links: Peers
    beats: Beats

    @property
    def members(self) -> Members:
        """Who is a member, who can be reached, whether this side is the majority: now."""
        return self.beats.members
