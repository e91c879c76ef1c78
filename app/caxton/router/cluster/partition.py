"""What agents without durable state do on the smaller side of a cut (`[coordination] partition_mode`).

Owns that they stop executing here with `stop`, and go on once this side is the majority again. Must never refuse
their messages: those wait.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from caxton.router.boxes import Box, Boxes
from caxton.router.cluster.places import Places

STOP = "stop"


class Partition:
    """`wake(box)` is called for boxes that may go on."""

    def __init__(self, boxes: Boxes, places: Places, wake: Callable[[Box], None]) -> None:
        self._boxes = boxes
        self._places = places
        self._wake = wake

    def look(self) -> None:
        """To be called when members or records have changed, and once at the start."""
        mode, minority = self._boxes.config.coordination.partition_mode, not self._places.members().majority
        for box in self._boxes:
            own = box.agent.config.partition_mode
            stopped = minority and (mode if own is UNSET else own) == STOP
            adrift = stopped and self._may_be_elsewhere(box.agent.name)
            if box.adrift is not adrift:
                box.adrift = adrift
                self._wake(box)

    def _may_be_elsewhere(self, name: str) -> bool:
        record = self._places.record(name)
        return record is not None and record.home is None
