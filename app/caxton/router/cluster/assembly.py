"""How the parts of the cluster are put together, and what runs while the router does.

Owns their wiring. Must never be called on a node that is alone.
"""

from __future__ import annotations

import asyncio

from caxton.cluster.gossip import Gossip
from caxton.cluster.gossip.members import Standing
from caxton.cluster.links import Peers
from caxton.config import Config, link_context, split_address
from caxton.protocol.peers import NodeState
from caxton.router.cluster.beats import Beats, Publish
from caxton.router.cluster.service import Cluster


def make_cluster(config: Config, node_id: str, publish: Publish) -> Cluster:
    """The parts, wired and not started."""
    config.paths.gossip.mkdir(mode=0o700, parents=True, exist_ok=True)  # serf's unit may write there, not make it
    gossip = Gossip(config)
    links = Peers(lambda: link_context(config.networking), lambda node: beats.relays(node), lambda: beats.linked())
    beats = Beats(node_id, config.coordination, links, gossip.members, publish)
    gossip.watch(beats.met)
    return Cluster(node_id, gossip, links, beats)


def admits(cluster: Cluster, config: Config, node_id: str) -> bool:
    """Whether that node may open a link: serf knows it, or it is one of the seeds by name."""
    seen = cluster.gossip.members().get(node_id)
    if seen is not None:
        return seen.standing is not Standing.LEFT
    return node_id in {split_address(seed)[0] for seed in config.coordination.seeds}


def say(cluster: Cluster, state: NodeState) -> None:
    """Tells the other nodes how this one is, by heartbeats and by gossip."""
    cluster.beats.say(state)
    cluster.gossip.set_tags(state=state)


async def run(cluster: Cluster) -> None:
    """For ever; to be cancelled, then all links are closed."""
    try:
        await asyncio.gather(cluster.gossip.run(), cluster.beats.run())
    finally:
        await cluster.links.close()
