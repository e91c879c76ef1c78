"""How far the clocks of the other nodes are from ours.

Owns the report of one that is too far ahead: what it writes would win over everybody's for as long as it is. Must
never set a clock, nor refuse anything itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from caxton.protocol.peers import Beat

LIMIT_SECONDS: Final = 60.0
log = logging.getLogger(__name__)


class Clocks:
    """`ahead`: seconds by which each peer's clock is ahead of ours, negative behind."""

    def __init__(self, publish: Callable[[str, dict[str, Any]], None]) -> None:
        self.ahead: dict[str, float] = {}
        self._publish = publish
        self._told: set[str] = set()

    def compare(self, beat: Beat, ours: float) -> None:
        """Its clock said `beat.at` when ours said `ours`."""
        node, ahead = beat.node_id, beat.at - ours
        self.ahead[node] = ahead
        if ahead <= LIMIT_SECONDS:
            self._told.discard(node)
        elif node not in self._told:
            self._told.add(node)
            log.error("the clock of %s is %.0f s ahead of this node's: one of them is wrong", node, ahead)
            self._publish("node.clock_ahead", {"node": node, "seconds": round(ahead, 1)})
