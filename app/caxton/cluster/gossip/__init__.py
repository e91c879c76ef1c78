"""Membership by serf: its configuration, its RPC, and who is a member as it sees it.

Owns what Caxton says to serf and hears from it. Must never decide who can be reached: serf calls nodes alive for ever
that a cut has taken away.
"""

from caxton.cluster.gossip.members import GossipMember, Standing
from caxton.cluster.gossip.service import Gossip

__all__ = ["Gossip", "GossipMember", "Standing"]
