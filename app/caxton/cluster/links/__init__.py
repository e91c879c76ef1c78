"""The links to the other nodes: connections of mutual TLS on which calls are pipelined (spec/cluster.md).

Owns how another node's router is asked something. Must never decide what is asked, nor who is a member.
"""

from caxton.cluster.links.figures import LinkFigures
from caxton.cluster.links.peers import Peers

__all__ = ["LinkFigures", "Peers"]
