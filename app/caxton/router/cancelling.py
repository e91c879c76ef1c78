"""Cancelling a message that is not settled yet, wherever it is.

Owns that one choice. Must never cancel what another node has: that is its own to end.
"""

from __future__ import annotations

from caxton.router.boxes import Boxes
from caxton.router.dispatch import Dispatch
from caxton.router.mailbox import Entry, Place
from caxton.router.outcomes import Outcomes


class Cancelling:
    """One call per message; its end comes later, as an outcome."""

    def __init__(self, boxes: Boxes, outcomes: Outcomes, dispatch: Dispatch) -> None:
        self._boxes = boxes
        self._outcomes = outcomes
        self._dispatch = dispatch

    def cancel(self, entry: Entry) -> None:
        """Ends a message that waits, or the execution that handles it."""
        if entry.place is Place.AWAY and self._boxes.elsewhere is not None:
            self._boxes.elsewhere.cancel(entry)
            return
        box = self._boxes.get(entry.agent)
        if box is None or entry.place is Place.GONE:
            return
        if entry.place is not Place.OUT:
            self._outcomes.cancel_waiting(box, entry)
            return
        entry.cancelled = True
        flight = box.flight(entry.exec_id)
        if flight is not None:
            self._dispatch.cancel(flight)
