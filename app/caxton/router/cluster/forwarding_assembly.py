"""How forwarding is put together over the parts of a router.

Owns their wiring. Must never be called on a node that is alone.
"""

from __future__ import annotations

from caxton.protocol.agents import AgentStatus
from caxton.router.cluster.arrivals import Arrivals
from caxton.router.cluster.bodies import AGENT
from caxton.router.cluster.forwarding import Forwarding
from caxton.router.cluster.forwarding_messages import Passing
from caxton.router.cluster.homes_assembly import settle_homes
from caxton.router.cluster.outbox import Outboxes
from caxton.router.cluster.partition import Partition
from caxton.router.cluster.places import Places
from caxton.router.cluster.room import Room
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk


def furnish(desk: Desk, cluster: Cluster) -> None:
    """Gives the desk's cluster its forwarding; from now on messages for agents elsewhere have a place to go."""
    talking = desk.core.talking
    places = Places(
        cluster.node_id,
        members=lambda: cluster.members,
        records=cluster.records,
        hosted=lambda name: desk.registry.get(name) is not None,
        serves=desk.core.is_open,
        begins=lambda name: (agent := desk.registry.get(name)) is not None and agent.status is AgentStatus.DEPLOYING,
    )
    outboxes = Outboxes(talking.boxes, talking.outcomes, places, cluster.links, desk.spawn)
    talking.boxes.elsewhere = outboxes
    forwarding = Forwarding(places, cluster.links)
    cluster.outboxes = outboxes
    cluster.forwarding = forwarding
    forwarding.passing = Passing(outboxes, talking.intake, talking.capabilities, forwarding)
    cluster.arrivals = Arrivals(talking.boxes, talking.intake, talking.outcomes, places, desk.core.resting)
    cluster.arrivals.watch(cluster.healing.suppressed)
    settle_homes(desk, cluster)
    partition = Partition(talking.boxes, places, talking.outcomes.wake)
    room = Room(talking.boxes, outboxes, talking.pressures.told)
    outboxes.on_change = room.changed

    def changed() -> None:
        partition.look()
        room.moved()
        outboxes.changed()

    cluster.changed = changed
    cluster.beats.watch(lambda _before, _after: changed())
    cluster.records.watch(lambda records: changed() if any(one.kind == AGENT for one in records) else None)


def recover(cluster: Cluster) -> None:
    """Once the agents that live here have their mailboxes: what is pending for others is in the outbox."""
    cluster.outboxes.recover()
    cluster.changed()
