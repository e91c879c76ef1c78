"""What is asked of a simulated cluster: rest, a change, a newcomer, a change of members.

Owns the questions and their figures. Must never print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caxton.cluster.placement import first
from sim.registry import Node, cluster, deploy, equal
from sim.world import World

REST_SECONDS: Final = 20.0
CHANGES: Final = 50
"""Deployments of one burst, at as many nodes as there are, at most."""
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Rate:
    """What one node sends in a second: the mean of all, and of the one that sends most."""

    messages: float
    bytes: float
    most_bytes: float


@dataclass(frozen=True)
class Figures:
    """Of one size. Seconds until all copies were equal; `newcomer_bytes` that a fresh node was sent by all."""

    nodes: int
    agents: int
    rest: Rate
    one_change_seconds: float | None
    one_change_bytes: float
    burst_seconds: float | None
    burst_bytes: float
    newcomer_seconds: float | None
    newcomer_bytes: float


def measure(nodes: int, agents: int, seed: int = 1) -> Figures:
    """Everything about one size of cluster. `…_bytes`: beyond rest, per node."""
    world = World(seed)
    made = cluster(world, nodes, agents)
    world.pass_time(2.0)
    world.reset_meters()
    world.pass_time(REST_SECONDS)
    rest = _rate(world, REST_SECONDS)
    one = _after(world, made, rest, 1)
    burst = _after(world, made, rest, CHANGES)
    newcomer = _newcomer(world, made, rest)
    return Figures(nodes, agents, rest, *one, *burst, *newcomer)


def moved(nodes: int, agents: int) -> tuple[int, int]:
    """How many key-less agents another node runs after one has come, and after one has gone."""
    members = [f"node{number:04}" for number in range(nodes)]
    names = [f"agent-{number:05}" for number in range(agents)]
    before = [first(name, members) for name in names]
    more = [first(name, [*members, "newcomer"]) for name in names]
    fewer = [first(name, members[1:]) for name in names]
    return sum(map(str.__ne__, map(str, before), map(str, more))), sum(
        map(str.__ne__, map(str, before), map(str, fewer))
    )


def _rate(world: World, seconds: float) -> Rate:
    meters = list(world.meters.values())
    return Rate(
        sum(one.messages for one in meters) / len(meters) / seconds,
        sum(one.bytes for one in meters) / len(meters) / seconds,
        max(one.bytes for one in meters) / seconds,
    )


def _after(world: World, nodes: list[Node], rest: Rate, changes: int) -> tuple[float | None, float]:
    """Deployments, each at another node as far as there are so many."""
    world.reset_meters()
    known = len(nodes[0].registry)
    for number in range(changes):
        deploy(nodes[(known + number) % len(nodes)], known + number)
    begun = world.now
    seconds = world.run(lambda: equal(nodes), PATIENCE_SECONDS)
    return seconds, _beyond(world, rest, world.now - begun, len(nodes))


def _newcomer(world: World, nodes: list[Node], rest: Rate) -> tuple[float | None, float]:
    world.reset_meters()
    fresh = Node("newcomer", world)
    fresh.others = nodes
    for node in nodes:
        node.others.append(fresh)
    world.after(0.0, fresh.beat)
    begun = world.now
    seconds = world.run(lambda: equal([*nodes, fresh]), PATIENCE_SECONDS)
    return seconds, _beyond(world, rest, world.now - begun, len(nodes)) * len(nodes)


def _beyond(world: World, rest: Rate, seconds: float, nodes: int) -> float:
    """Bytes per node that a cluster at rest would not have sent."""
    return sum(meter.bytes for meter in world.meters.values()) / nodes - rest.bytes * seconds
