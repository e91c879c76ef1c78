"""Time and a network that do not exist: events in their order, and what each node sends.

Owns the clock and the meters. Must never sleep, nor know what is sent.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

EPOCH: Final = 1_800_000_000.0
"""When a simulation begins, seconds since the epoch: as good as any."""
LATENCY_SECONDS: Final = (0.0002, 0.002)
"""One way, within a room of machines."""


@dataclass
class Meter:
    """What one node sent."""

    messages: int = 0
    bytes: int = 0

    def sent(self, size: int) -> None:
        """One message of so many bytes."""
        self.messages += 1
        self.bytes += size


@dataclass
class World:
    """`now` in seconds from the begin; a `seed` gives the same run again."""

    seed: int
    now: float = 0.0
    meters: dict[str, Meter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def clock(self) -> float:
        """Seconds since the epoch, the same for all."""
        return EPOCH + self.now

    def meter(self, node: str) -> Meter:
        """That node's."""
        return self.meters.setdefault(node, Meter())

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Has it happen then."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def send(self, sender: str, size: int, arrive: Callable[[], None]) -> None:
        """`size` bytes leave `sender`; `arrive` is called where they come to."""
        self.meter(sender).sent(size)
        self.after(self.random.uniform(*LATENCY_SECONDS), arrive)

    def run(self, until: Callable[[], bool], seconds: float) -> float | None:
        """Lets time go on until the condition holds; how long that took, or None when it did not within `seconds`."""
        begun, end = self.now, self.now + seconds
        while not until():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return None
            self.now, _, event = heapq.heappop(self._events)
            event()
        return self.now - begun

    def pass_time(self, seconds: float) -> None:
        """Lets so much time go on."""
        self.run(lambda: False, seconds)

    def reset_meters(self) -> None:
        """What was sent so far does not count."""
        self.meters.clear()
