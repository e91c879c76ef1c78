"""The parts of this node's membership in one place, as the desk holds them.

Owns nothing itself. Must never grow logic: each part has a module of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caxton.cluster.gossip import Gossip
from caxton.cluster.links import Peers
from caxton.cluster.membership import Members
from caxton.router.cluster.beats import Beats
from caxton.router.cluster.likeness import Likeness
from caxton.router.cluster.modules import Fetching
from caxton.router.cluster.pulling import Pulling
from caxton.router.cluster.records import Records

if TYPE_CHECKING:  # they work on the desk's parts, and the desk names this
    from caxton.router.cluster.adopt import Adopting
    from caxton.router.cluster.arrivals import Arrivals
    from caxton.router.cluster.forwarding import Forwarding
    from caxton.router.cluster.handover_in import Arriving
    from caxton.router.cluster.healing import Healing
    from caxton.router.cluster.homes import Homes
    from caxton.router.cluster.keeping import Keeping
    from caxton.router.cluster.outbox import Outboxes
    from caxton.router.cluster.owner_loss import OwnerLoss
    from caxton.router.cluster.rebalance import Rebalance


@dataclass(slots=True)
class Cluster:
    """`node_id`: this node's name, also in its certificate. `gossip`: who is a member, as serf sees it.

    What `furnish` gives is there once the desk is.
    """

    node_id: str
    gossip: Gossip
    links: Peers
    beats: Beats
    records: Records
    pulling: Pulling
    fetching: Fetching
    reconciled: Counter[str]
    """Agents that were brought up here or ended, as the registry says, and tries that failed."""
    likeness: Likeness
    healing: Healing
    forwarding: Forwarding = field(init=False)
    outboxes: Outboxes = field(init=False)
    arrivals: Arrivals = field(init=False)
    homes: Homes = field(init=False)
    arriving: Arriving = field(init=False)
    adopting: Adopting = field(init=False)
    rebalance: Rebalance = field(init=False)
    keeping: Keeping = field(init=False)
    owner_loss: OwnerLoss = field(init=False)
    changed: Callable[[], None] = field(init=False)
    """To be called when records have changed: what was decided by them is looked at again."""

    @property
    def members(self) -> Members:
        """Who is a member, who can be reached, whether this side is the majority: now."""
        return self.beats.members
