"""From whom to pull next, and whom to tell that something has changed.

Owns these choices. Must never pull. Pure: chance and time come from the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

FANOUT: Final = 16
"""Nodes that are told of a change at once; each of them tells as many: in a large cluster it takes three rounds."""


class Hints:
    """What the digests of the others say against ours."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._digests: dict[str, str] = {}
        self._in_vain: dict[str, tuple[str, str]] = {}
        """Their digest and ours, when a pull brought nothing: it is for them to pull, until either changes."""

    def heard(self, node: str, digest: str) -> None:
        """What a node's registry is like now."""
        self._digests[node] = digest

    def pulled(self, node: str, theirs: str, ours: str, came: int) -> None:
        """How a pull ended; `came`: records that were news here."""
        self._digests[node] = theirs
        self._in_vain.pop(node, None)
        if not came and theirs != ours:
            self._in_vain[node] = theirs, ours

    def wanted(self, nodes: Iterable[str], ours: str) -> str | None:
        """One of the nodes that have something else, and perhaps more; any of them."""
        found = [
            node
            for node in sorted(nodes)
            if (theirs := self._digests.get(node, "")) not in ("", ours) and self._in_vain.get(node) != (theirs, ours)
        ]
        return self._chance.choice(found) if found else None

    def any_of(self, nodes: Iterable[str]) -> str | None:
        """One of the nodes, whatever its digest."""
        found = sorted(nodes)
        return self._chance.choice(found) if found else None


def hinted(nodes: Iterable[str], chance: Random) -> list[str]:
    """Who is told of a change at once."""
    found = sorted(nodes)
    return found if len(found) <= FANOUT else chance.sample(found, FANOUT)
