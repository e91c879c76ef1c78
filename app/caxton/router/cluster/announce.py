"""What this node says of itself to the others.

Owns that heartbeats and gossip say the same. Must never decide what is said.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import NodeState
from caxton.router.cluster.service import Cluster

GOODBYE_SECONDS: Final = 3.0
"""serf takes about one when the others answer; who does not hear it calls this node failed, as ever."""

log = logging.getLogger(__name__)


def say(cluster: Cluster, state: NodeState) -> None:
    """Tells the other nodes how this one is, by heartbeats and by gossip."""
    cluster.beats.say(state)
    cluster.gossip.set_tags(state=state)


async def goodbye(cluster: Cluster) -> None:
    """Tells the other nodes that this one, which is drained, stops: none of them has to find out."""
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            await cluster.gossip.leave()
    except (CaxtonError, TimeoutError) as error:
        log.warning("no goodbye to the other nodes: %s", error or f"not said within {GOODBYE_SECONDS:g} s")
