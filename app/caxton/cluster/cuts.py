"""Cuts between this node and others: what each meant, from when it was noticed to when it healed, and after.

Owns that record, the last hundred of them. Pure: it reads no clock and no file. Must never decide who can be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

KEPT: Final = 100
SHOWN_IDS: Final = 100
AFTERWARDS_SECONDS: Final = 3_600.0
"""How long after a heal a duplicate from the other side is put down to the cut: outboxes drain in that time."""


class Cut(msgspec.Struct, kw_only=True):
    """One cut. Times in seconds since the epoch. `baseline`: how many executions of each agent without durable state
    had ended here when it was noticed; `ran`: those of them that ran here until it was over. The rest as in
    `protocol.cluster.HealReport`."""

    node: str
    since: float
    until: float | None = None
    minority: bool = False
    homes: list[str] = []
    baseline: dict[str, int] = {}
    ran: list[str] = []
    both_sides: list[str] = []
    suppressed: list[str] = []
    suppressed_count: int = 0
    complete: bool = False

    def still_ran(self, counts: Mapping[str, int]) -> list[str]:
        """The agents that have run here since it was noticed, when these are the counts now."""
        return sorted(name for name, count in counts.items() if count > self.baseline.get(name, 0))


class Cuts:
    """All cuts that are kept, the latest last; of one node at most one lasts."""

    def __init__(self, kept: Iterable[Cut] = ()) -> None:
        self._cuts = list(kept)[-KEPT:]

    def all(self) -> list[Cut]:
        """The oldest first."""
        return list(self._cuts)

    def lasting(self, node: str) -> Cut | None:
        """The one that has not healed."""
        return next((cut for cut in reversed(self._cuts) if cut.node == node and cut.until is None), None)

    def latest(self, node: str) -> Cut | None:
        """The last one, healed or not."""
        return next((cut for cut in reversed(self._cuts) if cut.node == node), None)

    def parted(self, node: str, now: float, homes: Iterable[str], *, minority: bool) -> Cut:
        """The node cannot be reached any more."""
        cut = self.lasting(node)
        if cut is None:
            cut = Cut(node=node, since=now, homes=sorted(homes))
            self._cuts = [*self._cuts, cut][-KEPT:]
        cut.minority = cut.minority or minority
        return cut

    def in_minority(self) -> None:
        """This node has no majority while these cuts last."""
        for cut in self._cuts:
            cut.minority = cut.minority or cut.until is None

    def met(self, node: str, now: float) -> Cut | None:
        """The node is there again, or gone for good: the cut that is over by that."""
        cut = self.lasting(node)
        if cut is not None:
            cut.until = now
        return cut

    def suppressed(self, node: str, message_id: str, now: float) -> bool:
        """A message came from there that was known here; whether that is put down to a cut."""
        cut = self.latest(node)
        if cut is None or (cut.until is not None and now - cut.until > AFTERWARDS_SECONDS):
            return False
        cut.suppressed_count += 1
        if len(cut.suppressed) < SHOWN_IDS:
            cut.suppressed.append(message_id)
        return True

    @staticmethod
    def told(cut: Cut, there: Iterable[str]) -> None:
        """The other side has said what ran there meanwhile."""
        cut.both_sides = sorted({*cut.ran} & {*there})
        cut.complete = True
