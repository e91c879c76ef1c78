"""Whether the other nodes' registries are as this one's, and since when not, by what their heartbeats say.

Owns the last digest of each. Must never pull anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from caxton.protocol.peers import Beat


class Likeness:
    """`own`: this node's digest, as its heartbeats tell it."""

    def __init__(self, own: Callable[[], str]) -> None:
        self._own = own
        self._theirs: dict[str, str] = {}
        self._differs: dict[str, float] = {}

    def heard(self, beat: Beat) -> None:
        """A heartbeat of another node."""
        self._theirs[beat.node_id] = beat.digest
        if self.equal(beat.node_id) is False:
            self._differs.setdefault(beat.node_id, time.monotonic())
        else:
            self._differs.pop(beat.node_id, None)

    def equal(self, node: str) -> bool | None:
        """None: it has not said."""
        theirs = self._theirs.get(node)
        return theirs == self._own() if theirs else None

    def differs_seconds(self, nodes: Iterable[str]) -> float | None:
        """Since when the longest of these has differed; None: none does."""
        now = time.monotonic()
        return max((now - self._differs[node] for node in nodes if node in self._differs), default=None)
