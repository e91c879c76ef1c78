"""What this node says of itself to the others.

Owns that heartbeats and gossip say the same. Must never decide what is said.
"""

from __future__ import annotations

from caxton.protocol.peers import NodeState
from caxton.router.cluster.service import Cluster


def say(cluster: Cluster, state: NodeState) -> None:
    """Tells the other nodes how this one is, by heartbeats and by gossip."""
    cluster.beats.say(state)
    cluster.gossip.set_tags(state=state)
