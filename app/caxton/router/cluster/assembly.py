"""How the parts of the cluster are put together, and what runs while the router does.

Owns their wiring. Must never be called on a node that is alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from caxton.cluster.gossip import Gossip
from caxton.cluster.gossip.members import Standing
from caxton.cluster.links import Peers
from caxton.cluster.registry import Clock, Registry
from caxton.config import Config, link_context, split_address
from caxton.router.cluster.beats import Beats
from caxton.router.cluster.healing import Healing
from caxton.router.cluster.homes_assembly import keep_homes
from caxton.router.cluster.install import Installing
from caxton.router.cluster.likeness import Likeness
from caxton.router.cluster.modules import Fetching
from caxton.router.cluster.publishing import publish_all
from caxton.router.cluster.pulling import Pulling
from caxton.router.cluster.reconcile import Reconciler
from caxton.router.cluster.records import Records
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk
from caxton.router.rows import agent_row


def make_cluster(desk: Desk) -> Cluster:
    """The parts, wired and not started."""
    config, node_id = desk.config, desk.node
    config.paths.gossip.mkdir(mode=0o700, parents=True, exist_ok=True)  # serf's unit may write there, not make it
    gossip = Gossip(config)
    links = Peers(lambda: link_context(config.networking), lambda node: beats.relays(node), lambda: beats.linked())
    beats = Beats(node_id, config.coordination, links, gossip.members, desk.events.publish)
    gossip.watch(beats.met)
    records = make_records(desk)
    expected = config.coordination.expected_nodes
    pulling = Pulling(records, desk.core, links, lambda: beats.members, expected, beats.tell)
    beats.hear(lambda beat: pulling.heard(beat.node_id, beat.digest))
    likeness, healing = Likeness(lambda: beats.digest), Healing(config.paths.data)
    beats.hear(likeness.heard)
    beats.watch(healing.changed)
    return Cluster(
        node_id=node_id,
        gossip=gossip,
        links=links,
        beats=beats,
        records=records,
        pulling=pulling,
        fetching=Fetching(desk.modules, links),
        reconciled=Counter(),
        likeness=likeness,
        healing=healing,
    )


def make_records(desk: Desk) -> Records:
    """This node's copy of the registry, from its database; every change of the node passes through it from now on."""
    registry = Registry(desk.node, Clock())
    reader = desk.store.reader
    registry.load(reader.registry(), reader.registry_seen())
    records = Records(registry, map(agent_row, desk.registry))
    desk.core.commits.record = records.note
    return records


def admits(cluster: Cluster, config: Config, node_id: str) -> bool:
    """Whether that node may open a link: serf knows it, or it is one of the seeds by name."""
    seen = cluster.gossip.members().get(node_id)
    if seen is not None:
        return seen.standing is not Standing.LEFT
    return node_id in {split_address(seed)[0] for seed in config.coordination.seeds}


async def run(desk: Desk, cluster: Cluster) -> None:
    """For ever; to be cancelled, then all links are closed."""
    installing = Installing(desk, cluster.records, cluster.fetching)
    reconciler = Reconciler(desk, cluster.records, installing, lambda: cluster.members, cluster.reconciled)
    cluster.beats.watch(lambda _before, _after: reconciler.members_changed())
    try:
        await asyncio.gather(
            cluster.gossip.run(),
            cluster.beats.run(),
            cluster.pulling.run(),
            publish_all(desk, cluster),
            reconciler.run(cluster.pulling.synced),
            keep_homes(cluster),
            cluster.healing.run(desk, cluster),
        )
    finally:
        await cluster.links.close()
