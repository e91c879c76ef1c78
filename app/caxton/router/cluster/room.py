"""Backpressure towards guests whose messages are for other nodes: what the outbox still takes.

Owns when workers are told of it, and of which agents. Must never refuse anything itself: workers answer −3 to guests,
the outbox refuses clients.
"""

from __future__ import annotations

import asyncio

from caxton.router.boxes import Boxes
from caxton.router.cluster.outbox import Outboxes
from caxton.router.pressure import Told


class Room:
    """Says nothing while no execution could fill the outbox; then every change, once per turn of the loop."""

    def __init__(self, boxes: Boxes, outboxes: Outboxes, told: Told) -> None:
        self._boxes = boxes
        self._outboxes = outboxes
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._planned = False
        self._left: int | None = None
        self._away: list[str] = []
        """As the workers know them."""
        self._elsewhere: tuple[int, list[str]] | None = None
        self._most: tuple[int, int] | None = None
        """Both with the generation of the boxes that they are of."""

    def moved(self) -> None:
        """Other agents may live elsewhere now."""
        self._elsewhere = None
        self.changed()

    def changed(self) -> None:
        """There may be more in the outbox, or less."""
        if not self._planned and (self._left is not None or self._found() is not None):
            self._planned = True
            self._loop.call_soon(self._say)

    def _say(self) -> None:
        self._planned = False
        left = self._found()
        away = [] if left is None else self._receivers()
        if (left, away) != (self._left, self._away):
            self._left, self._away = left, away
            self._told.make_room(left, away)

    def _found(self) -> int | None:
        left = self._boxes.config.coordination.outbox_size - len(self._outboxes)
        return max(left, 0) if left < self._one_execution() else None

    def _one_execution(self) -> int:
        """How many messages one execution may send at the most."""
        generation = self._boxes.generation
        if self._most is None or self._most[0] != generation:
            limits = (box.spec.limits.messages_per_execution for box in self._boxes.versions())
            self._most = generation, max(limits, default=0)
        return self._most[1]

    def _receivers(self) -> list[str]:
        """Agents that are not here; and those that are, while something of theirs waits for another replica."""
        generation, hosted = self._boxes.generation, self._outboxes.places.hosted
        if self._elsewhere is None or self._elsewhere[0] != generation:
            known = (one.name for one in self._outboxes.places.records.agents())
            self._elsewhere = generation, sorted(name for name in known if not hosted(name))
        return self._elsewhere[1] + sorted(name for name in self._outboxes.receivers() if hosted(name))
