"""What a change of the members would move: which agents, from where to where.

Owns that comparison, by which nodes also act. Pure: must never ask who is a member, nor move anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from caxton.cluster.placement import Placed, first, hosts


class Why(StrEnum):
    """Why an agent that should move stays where it is."""

    PINNED = "pinned"
    """To the node that is to be emptied, or to one that is not there."""
    NOBODY = "nobody"
    """There is no node that could take it."""


@dataclass(frozen=True, slots=True)
class Move:
    """`giver` None: a replica more. `taker` None: a replica less, or an agent with a home that stays: see `why`."""

    agent: str
    giver: str | None
    taker: str | None
    why: Why | None = None


def new_home(agent: Placed, active: Sequence[str]) -> str | None:
    """Where an agent with durable state should live while these members take work; None: nowhere of these."""
    if agent.node is not None:
        return agent.node if agent.node in active else None
    return first(agent.name, active)


def home_move(agent: Placed, active: Sequence[str]) -> Move | None:
    """The move of an agent with a home, while these members take work; None: it is where it should be."""
    home, taker = agent.home, new_home(agent, active)
    if taker == home or (taker is None and home in active):
        return None
    if taker is None:
        return Move(agent.name, home, None, Why.NOBODY if agent.node is None else Why.PINNED)
    return Move(agent.name, home, taker)


def moves(agents: Iterable[Placed], before: Sequence[str], after: Sequence[str]) -> list[Move]:
    """Everything that moves when `before` take work, and then `after` do; by name.

    A home that is on none of `before` cannot be handed over: it waits for that node.
    """
    found: list[Move] = []
    for agent in sorted(agents, key=lambda one: one.name):
        if agent.home is not None:
            move = home_move(agent, after) if agent.home in before else None
            found += [] if move is None else [move]
            continue
        was, will = hosts(agent, before), hosts(agent, after)
        gone, come = [node for node in was if node not in will], [node for node in will if node not in was]
        pairs = max(len(gone), len(come))
        givers: list[str | None] = [*gone, *[None] * (pairs - len(gone))]
        takers: list[str | None] = [*come, *[None] * (pairs - len(come))]
        found += [Move(agent.name, giver, taker) for giver, taker in zip(givers, takers, strict=True)]
    return found
