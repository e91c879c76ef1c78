"""Which fault happens when: drawn from a seed, so that a run that failed can be had again.

Owns the draw. Pure: must never do harm.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What can happen."""

    KILL_WORKER = "kill worker"
    KILL_EXECUTOR = "kill executor"
    KILL_ROUTER = "kill router"
    KILL_API = "kill api"
    KILL_GOSSIP = "kill gossip"
    KILL_NODE = "kill node"
    KILL_ALL_NODES = "kill all nodes"
    PAUSE = "pause"
    ISOLATE = "isolate"
    CUT_PAIR = "cut pair"
    CUT_ONE_WAY = "cut one way"
    FLAP = "flap"
    LOSS = "loss"
    DELAY = "delay"
    CLOCK = "clock"
    FULL_DISK = "full disk"
    SLOW_DISK = "slow disk"
    DRAIN = "drain"


LENGTHS: Final[dict[Kind, tuple[float, float]]] = {
    Kind.KILL_NODE: (2.0, 10.0),
    Kind.PAUSE: (2.0, 20.0),
    Kind.ISOLATE: (3.0, 20.0),
    Kind.CUT_PAIR: (3.0, 20.0),
    Kind.CUT_ONE_WAY: (3.0, 20.0),
    Kind.FLAP: (5.0, 15.0),
    Kind.LOSS: (5.0, 20.0),
    Kind.DELAY: (5.0, 20.0),
    Kind.CLOCK: (5.0, 15.0),
    Kind.FULL_DISK: (3.0, 10.0),
    Kind.SLOW_DISK: (5.0, 15.0),
    Kind.DRAIN: (2.0, 8.0),
}
"""How long those last that last, seconds."""
_PAIRS: Final = frozenset({Kind.CUT_PAIR, Kind.CUT_ONE_WAY, Kind.DELAY})
_LULL: Final = (0.5, 6.0)


@dataclass(frozen=True)
class Fault:
    """`kind` befalls `nodes` (their numbers) at `at` seconds from the begin, for `seconds` (0: at once over)."""

    at: float
    kind: Kind
    nodes: tuple[int, ...]
    seconds: float = 0.0

    def __str__(self) -> str:
        where = " and ".join(f"node{number + 1}" for number in self.nodes) or "everywhere"
        return f"{self.at:6.1f} s  {self.kind} {where}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


def schedule(seed: int, seconds: float, nodes: int, kinds: list[Kind]) -> list[Fault]:
    """Faults for so many seconds, in the order of time. One that lasts may meet the next; one kind never itself."""
    draw = random.Random(seed)
    faults: list[Fault] = []
    busy_until = dict.fromkeys(kinds, 0.0)
    at = draw.uniform(*_LULL)
    while at < seconds:
        free = [kind for kind in kinds if busy_until[kind] <= at]
        if free:
            fault = _draw(draw, at, draw.choice(free), nodes)
            busy_until[fault.kind] = at + fault.seconds
            faults.append(fault)
        at += draw.uniform(*_LULL)
    return faults


def _draw(draw: random.Random, at: float, kind: Kind, nodes: int) -> Fault:
    most = 0 if kind is Kind.KILL_ALL_NODES else 2 if kind in _PAIRS else 1
    hit = tuple(draw.sample(range(nodes), min(most, nodes)))
    return Fault(round(at, 2), kind, hit, round(draw.uniform(*LENGTHS[kind]), 2) if kind in LENGTHS else 0.0)
