"""Where agents live: rendezvous hashing over the active members (spec/cluster.md, "Placement").

Owns the arithmetic, the same on every node that sees the same members. Pure: must never ask who is a member, nor move
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Protocol

from caxton.protocol.agents import AgentConfig, Instance, ModuleInfo, Shape
from caxton.protocol.snapshots import STATE

ALL: Final = "all"
SPARE_HOLDERS: Final = 2
"""Nodes that have an agent's module besides those that run it, so that it outlives them."""
_TIMERS: Final = frozenset({"caxton.set_timer", "caxton.cancel_timer"})
_KEYS: Final = frozenset({"caxton.store_data", "caxton.load_data", "caxton.delete_data"})


class Placed(Protocol):
    """What placement needs to know of an agent; `protocol.peers.AgentRecord` is one."""

    @property
    def name(self) -> str:
        """The agent's name."""

    @property
    def home(self) -> str | None:
        """The only node that runs it; None for an agent without durable state."""

    @property
    def replicas(self) -> int | str:
        """How many nodes run an agent without durable state, or `"all"`."""

    @property
    def node(self) -> str | None:
        """The node that it is pinned to."""


def stateful(config: AgentConfig, module: ModuleInfo) -> bool:
    """Whether there must never be two of it: it keeps something from one message to the next, or has a calendar.

    Its memory (a persistent instance, snapshots), keys (where they are granted), timers, schedules. Decided at
    deployment; such an agent has a home, any other one has replicas.
    """
    persistent = module.shape is Shape.REACTOR and config.instance is not Instance.PER_MESSAGE
    imports = set(module.imports)
    keys = config.grants.kv and not _KEYS.isdisjoint(imports)
    return persistent or config.state == STATE or keys or not _TIMERS.isdisjoint(imports) or bool(config.schedules)


def weight(key: str, node: str) -> bytes:
    """How much `key` likes to be on `node`: 8 bytes, compared as they are."""
    return blake2b(f"{key}\0{node}".encode(), digest_size=8).digest()


def rank(key: str, nodes: Iterable[str]) -> list[str]:
    """The nodes in the order in which they take `key`, the first takes it while it is there."""
    return sorted(nodes, key=lambda node: (weight(key, node), node), reverse=True)


def first(key: str, nodes: Iterable[str]) -> str | None:
    """The head of `rank`, without the sorting; None when there is no node."""
    return max(nodes, key=lambda node: (weight(key, node), node), default=None)


def hosts(agent: Placed, active: Sequence[str]) -> list[str]:
    """The nodes that run it while these members are active, the first in rank first.

    An agent with durable state is where its home is, whether or not that is active. One that is pinned runs there or
    nowhere.
    """
    if agent.home is not None:
        return [agent.home]
    if agent.node is not None:
        return [agent.node]
    ranked = rank(agent.name, active)
    return ranked if agent.replicas == ALL else ranked[: int(agent.replicas)]


def runs_on(agent: Placed, node: str, active: Sequence[str]) -> bool:
    """Whether the agent's place is on this node while these members are active."""
    return node in hosts(agent, active)


def holders(agent: Placed, active: Sequence[str]) -> list[str]:
    """The nodes that keep its module: who runs it, and the next ones in rank."""
    running = hosts(agent, active)
    spare = [node for node in rank(agent.name, active) if node not in running]
    return [*running, *spare[:SPARE_HOLDERS]]


def decider(name: str, agent: Placed | None, active: Sequence[str], pin: str | None = None) -> str | None:
    """The node that makes changes to an agent, one by one; of a new name, the one that it would live on."""
    if agent is not None:
        return next(iter(hosts(agent, active)), None)
    return pin if pin is not None else first(name, active)


def owner(agent: Placed, conversation_id: str, active: Sequence[str]) -> str | None:
    """The one node that handles the messages of this conversation to the agent, in order."""
    places = hosts(agent, active)
    if len(places) > 1:
        living = [place for place in places if place in set(active)]
        return first(conversation_id, living)
    return places[0] if places else None
