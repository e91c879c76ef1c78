"""Many copies of the registry, each on its node of a simulated cluster.

Owns the nodes, which do what `caxton.router.cluster.pulling` does, with the real `Registry` and `Exchange`. Must
never reach into them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.cluster.registry import Clock, Exchange, Registry
from caxton.protocol.agents import AgentConfig, ModuleInfo, Shape
from caxton.protocol.peers import AgentRecord, Beat, Delta, Pull
from sim.world import EPOCH, World

BEAT_SECONDS: Final = 1.0
PULL_SECONDS: Final = 5.0
FRAME_BYTES: Final = 40
"""Of TLS, TCP and IP around a small message, and of the call's own frame."""
_encode: Final = msgspec.msgpack.Encoder().encode


class Node:
    """One copy. It hears of the others' digests, and pulls from one that differs."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.registry = Registry(name, Clock(world.clock), life=name)
        self._world = world
        self._pulling = False
        self.others: list[Node] = []

    def beat(self) -> None:
        """Tells everybody its digest, and again a second later."""
        digest = self.registry.digest()
        size = FRAME_BYTES + len(_encode(Beat(self.name, "b" * 16, self._world.clock(), digest=digest)))
        for other in self.others:
            self._world.send(self.name, size, lambda other=other: other.heard(self, digest))  # type: ignore[misc]
        self._world.after(BEAT_SECONDS, self.beat)

    def look_around(self) -> None:
        """Pulls from somebody now and then, whatever the digests say."""
        self.pull(self._world.random.choice(self.others))
        self._world.after(PULL_SECONDS * self._world.random.uniform(0.8, 1.2), self.look_around)

    def heard(self, other: Node, digest: str) -> None:
        """Another one's digest."""
        if digest != self.registry.digest():
            self.pull(other)

    def pull(self, other: Node) -> None:
        """Unless it does already."""
        if not self._pulling:
            self._pulling = True
            self._ask(other, Exchange(self.registry))

    def _ask(self, other: Node, exchange: Exchange) -> None:
        pull = exchange.ask()
        if pull is None:
            self._pulling = False
            return
        size = FRAME_BYTES + len(_encode(pull))
        self._world.send(self.name, size, lambda: other._answer(self, pull, exchange))

    def _answer(self, asker: Node, pull: Pull, exchange: Exchange) -> None:
        delta = self.registry.delta(pull.vector, pull.limit, pull.cursor)
        self.registry.heard(asker.name, pull.vector)
        self._world.send(self.name, FRAME_BYTES + len(_encode(delta)), lambda: asker._take(self, delta, exchange))

    def _take(self, other: Node, delta: Delta, exchange: Exchange) -> None:
        exchange.take(delta)
        self._ask(other, exchange)


def cluster(world: World, nodes: int, agents: int) -> list[Node]:
    """Nodes whose copies are equal: each has written its share of the agents."""
    made = [Node(f"node{number:04}", world) for number in range(nodes)]
    for number in range(agents):
        deploy(made[number % nodes], number)
    records = [record for node in made for record in node.registry.records()]
    vector = {node.name: node.registry.vector().get(node.name, 0) for node in made}
    for node in made:
        node.registry.merge(records)
        node.registry.advance(vector)
    start(made, world)
    return made


def start(nodes: list[Node], world: World) -> None:
    """They beat and pull from now on, each in its own time."""
    for node in nodes:
        node.others = [other for other in nodes if other is not node]
        world.after(world.random.uniform(0, BEAT_SECONDS), node.beat)
        world.after(world.random.uniform(0, PULL_SECONDS), node.look_around)


def deploy(node: Node, number: int) -> None:
    """An agent such as people have, written by this node."""
    name = f"team-{number % 20}/agent-{number:05}"
    config = msgspec.json.encode(AgentConfig(name, capabilities=["quote"], env={"MODE": "production"}))
    module = ModuleInfo(
        f"{number:064x}",
        180_000,
        Shape.REACTOR,
        ["handle_message", "memory"],
        ["caxton.reply"],
        40,
        65_536,
        None,
        0.2,
    )
    record = AgentRecord(
        name=name, agent_id=f"{number:036}", version=1, status="running", config=config, module=module,
        deployed_at=EPOCH, home=node.name, epoch=node.registry.epoch(),
    )  # fmt: skip
    node.registry.put("agent", name, _encode(record))


def equal(nodes: list[Node]) -> bool:
    """Whether all copies are."""
    digest = nodes[0].registry.digest()
    return all(node.registry.digest() == digest for node in nodes)
