"""Homes that move, as operators ask for it and see it: the plan, what a drain did, an agent that is adopted.

Owns the names of these fields. Must never compute a value. Times are seconds.
"""

from __future__ import annotations

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """What would move if these nodes took no more work (`without`), and these did (`added`)."""

    without: list[str] = []
    added: list[str] = []


class MoveView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One agent. `giver`, `taker`: nodes; null: a replica more, or less.

    `why`: it should go and stays: `pinned`, `nobody`, or the code of what went wrong. `waiting`, `in_flight`:
    messages; `stateful`: its mailbox, keys and snapshot go along.
    """

    agent: str
    giver: str | None
    taker: str | None
    stateful: bool = False
    waiting: int = 0
    in_flight: int = 0
    why: str | None = None
    detail: str = ""


class PlanView(msgspec.Struct, frozen=True):
    """`before` and `after`: the nodes that take work. `unknown`: nodes that could not say what waits there."""

    before: list[str]
    after: list[str]
    majority: bool
    moves: list[MoveView]
    unknown: list[str] = []


class Adopt(msgspec.Struct, frozen=True):
    """The agent lives here from now on: from a database or an archive (a path on this node), or without any state."""

    agent: str
    source: str | None = None
    clean: bool = False


class Adopted(msgspec.Struct, frozen=True):
    """`epoch`: of the new home; `giver`: the old one. `messages`: waiting ones that came from the source."""

    agent: str
    node: str
    giver: str
    epoch: int
    pages: int = 0
