"""Backpressure towards guests: which mailboxes are full now.

Owns the marks at which a mailbox (and the node's queue) counts as full and as having room again. Must
never refuse anything itself: workers answer −3 to guests, intake refuses clients.
"""

from __future__ import annotations

from typing import Final, Protocol

from caxton.router.boxes import Box, Boxes

_ROOM_AGAIN: Final = 0.9  # of the bound: between the marks nothing changes, so that workers are not flooded


class Told(Protocol):
    """Those who answer guests; `router.workers.Workers` is it."""

    def press(self, full: list[str], node_full: bool) -> None:
        """Whose mailboxes are full, and whether the node's queue is."""

    def make_room(self, left: int | None, away: list[str]) -> None:
        """What the outbox still takes, and for whom; see `protocol.execution.Room`."""


class Pressures:
    """`told` hears whatever changes."""

    def __init__(self, boxes: Boxes, told: Told) -> None:
        self._boxes = boxes
        self.told = told
        self._full: set[str] = set()
        self._node_full = False

    def grown(self, box: Box) -> None:
        """A message was accepted for this agent."""
        limits = self._boxes.config.messaging
        if not box.full and box.load >= limits.mailbox_size:
            box.full = True
            self._full.add(box.agent.name)
            self._say()
        if not self._node_full and self._boxes.queued >= limits.queue_size:
            self._node_full = True
            self._say()

    def shrunk(self, box: Box) -> None:
        """A message of this agent has ended."""
        limits = self._boxes.config.messaging
        if box.full and box.load <= limits.mailbox_size * _ROOM_AGAIN:
            self.dropped(box)
        if self._node_full and self._boxes.queued <= limits.queue_size * _ROOM_AGAIN:
            self._node_full = False
            self._say()

    def dropped(self, box: Box) -> None:
        """The agent is gone, or has room again."""
        if box.full:
            box.full = False
            self._full.discard(box.agent.name)
            self._say()

    def _say(self) -> None:
        self.told.press(sorted(self._full), self._node_full)
