"""How the parts are put together that keep and move homes.

Owns their wiring. Must never be called on a node that is alone.
"""

from __future__ import annotations

import asyncio

from caxton.router.cluster.adopt import Adopting
from caxton.router.cluster.handover_in import Arriving
from caxton.router.cluster.handover_out import Departing
from caxton.router.cluster.homes import Homes
from caxton.router.cluster.keeping import Keeping
from caxton.router.cluster.letters import Letters
from caxton.router.cluster.owner_loss import OwnerLoss
from caxton.router.cluster.rebalance import Rebalance
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk


def settle_homes(desk: Desk, cluster: Cluster) -> None:
    """Gives the desk's cluster what keeps and moves homes."""
    homes = cluster.homes = Homes(desk, cluster)
    departing = Departing(homes)
    cluster.arriving = Arriving(homes)
    cluster.adopting = Adopting(homes, cluster.arriving)
    cluster.keeping = Keeping(homes, cluster.arriving, departing)
    cluster.rebalance = Rebalance(homes, departing)
    cluster.forwarding.passing.leaves = homes.leaves
    cluster.owner_loss = OwnerLoss(homes, cluster.adopting)
    cluster.forwarding.following = Letters(homes, cluster.forwarding).following
    cluster.arrivals.waits = cluster.forwarding.waits = cluster.forwarding.passing.waits = homes.waits


async def keep_homes(cluster: Cluster) -> None:
    """For ever; to be cancelled."""
    await asyncio.gather(cluster.keeping.run(), cluster.rebalance.run(), cluster.owner_loss.run())
