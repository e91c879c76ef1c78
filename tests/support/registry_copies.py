"""Copies of the registry that talk by calling each other: answers can be lost, copies can be put back."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from caxton.cluster.registry import Clock, Exchange, Registry
from caxton.protocol.peers import Record, Seen

DAY = 86_400.0


@dataclass
class Time:
    """Seconds since the epoch, as the tests say."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Backup:
    """What a node's database held."""

    records: list[Record]
    seen: list[Seen]


@dataclass
class Node:
    """A copy, and what is on its disk whenever it is asked for."""

    name: str
    time: Time
    skew: float = 0.0
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.boot(Backup([], []))

    def boot(self, backup: Backup) -> None:
        self.registry = Registry(self.name, Clock(lambda: self.time.now + self.skew))
        self.registry.load(backup.records, backup.seen)

    def backup(self) -> Backup:
        return Backup(self.registry.records(), self.registry.seen())

    def restart(self) -> None:
        self.boot(self.backup())

    def pull(self, other: Node, *, limit: int = 1_000, pages: int | None = None) -> int:
        """Pulls from `other`, at most `pages` answers arrive; gives how many records came."""
        exchange, came, got = Exchange(self.registry), 0, 0
        while (ask := exchange.ask()) is not None and (pages is None or got < pages):
            answer = other.registry.delta(ask.vector, limit, ask.cursor)
            if ask.vector:
                other.registry.heard(self.name, ask.vector)
            exchange.take(answer)
            came += len(answer.records)
            got += 1
        return came

    def content(self) -> dict[tuple[str, str], bytes]:
        return {(r.kind, r.name): r.body for r in self.registry.records() if r.body is not None}


def converge(nodes: list[Node], rounds: int = 4) -> None:
    """Everybody pulls from everybody, as often as it may take."""
    for _ in range(rounds):
        for one in nodes:
            for other in nodes:
                if one is not other:
                    one.pull(other)


def cluster(count: int) -> tuple[Time, list[Node]]:
    time = Time()
    return time, [Node(f"n{number}", time) for number in range(count)]


def say_agent(node: Node, name: str, raised: int = 0, *, older: bool = False, number: int = 0) -> Record:
    """An agent's record by this node: in the epoch that it knows, raised by so much; else a deployment begins.

    `older`: one by the release before, whose epochs count from 1.
    """
    known = node.registry.get("agent", name)
    first = 1 if older else node.registry.epoch()
    epoch = first if known is None else agent_epoch(known) + raised
    return node.registry.put("agent", name, msgspec.msgpack.encode({"epoch": epoch, "version": number}))


def agent_epoch(record: Record) -> int:
    """The epoch in its body; 0 where there is none."""
    if record.kind != "agent" or record.body is None:
        return 0
    return int(msgspec.msgpack.decode(record.body)["epoch"])
