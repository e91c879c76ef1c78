"""Homes go where they belong: to the first in rank of the nodes that take work, few at a time.

Owns when, and what a drain is told of it. Must never move a home without both ends: `handover_out` does that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from caxton.cluster.plan import Move, Why, home_move, new_home
from caxton.protocol.cluster_moves import MoveView
from caxton.protocol.errors import CaxtonError
from caxton.protocol.handover import Side
from caxton.protocol.peers import AgentRecord
from caxton.router.cluster.handover_out import Departing
from caxton.router.cluster.homes import Homes
from caxton.router.readiness import is_draining

SIDE_BY_SIDE: Final = 4
"""Homes that a drain moves at the same time."""
PACE_SECONDS: Final = 0.2
"""Between two homes that merely go where they belong."""
AGAIN_SECONDS: Final = 1.0
_WORDS: Final = {
    Why.PINNED: "it is pinned to this node and waits for it",
    Why.NOBODY: "there is no other node that takes agents",
}
log = logging.getLogger(__name__)


class Rebalance:
    """One per node of a cluster."""

    def __init__(self, homes: Homes, departing: Departing) -> None:
        self._homes, self._departing = homes, departing
        self._wake = asyncio.Event()
        self._emptying = False
        homes.cluster.beats.watch(lambda _before, _after: self._wake.set())

    async def run(self) -> None:
        """For ever; to be cancelled. A change of the members ends what was begun for those before."""
        while True:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settling()):
                    await self._wake.wait()
                    continue  # it changed: wait until it has been the same for a while
            if self._homes.desk.draining or self._emptying:
                continue
            if self._homes.desk.drained:  # the router has started again since, or something could not go
                await self.empty(lambda: self._homes.desk.drained)
            else:
                await self._settle()

    def _settling(self) -> float:
        """How long the members must have been the same."""
        return max(self._homes.desk.config.coordination.detection_timeout / 2, AGAIN_SECONDS)

    async def _settle(self) -> None:
        active = self._homes.cluster.members.active
        for move in self.due(active):
            if self._homes.cluster.members.active != active or is_draining(self._homes.desk) or move.taker is None:
                return
            try:
                await self._departing.hand_over(move.agent, move.taker)
            except CaxtonError as error:
                log.info("%s stays here for now: %s: %s", move.agent, error.code, error.message)
                return
            await asyncio.sleep(PACE_SECONDS)

    def due(self, active: tuple[str, ...]) -> list[Move]:
        """Homes of this node that belong on another one that can be reached now, by name."""
        homes = self._homes
        if not homes.cluster.members.majority or not homes.knows:
            return []
        found = (home_move(record, active) for record in sorted(self._here(), key=lambda one: one.name))
        reachable = homes.cluster.members.reachable
        return [move for move in found if move is not None and move.taker in reachable]

    def _here(self) -> list[AgentRecord]:
        homes = self._homes
        return [
            record
            for record in homes.at_home()
            if homes.desk.registry.get(record.name) is not None and homes.row(record.name, Side.OUT) is None
        ]

    # ---- drain -------------------------------------------------------------------------------------

    async def empty(self, wanted: Callable[[], bool]) -> list[MoveView]:
        """Hands every home over to the next in rank; gives what moved, and what could not and why."""
        self._emptying = True
        try:
            places = asyncio.Semaphore(SIDE_BY_SIDE)
            return list(await asyncio.gather(*(self._out(record, places, wanted) for record in self._here())))
        finally:
            self._emptying = False

    async def _out(self, record: AgentRecord, places: asyncio.Semaphore, wanted: Callable[[], bool]) -> MoveView:
        homes, name = self._homes, record.name
        async with places:
            others = [one for one in homes.cluster.members.active if one != homes.node_id]
            taker = new_home(record, others)
            if taker is None:
                why = Why.NOBODY if record.node is None else Why.PINNED
                return MoveView(name, homes.node_id, None, True, why=why, detail=_WORDS[why])
            if not wanted():
                return MoveView(name, homes.node_id, None, True, why="undone", detail="the drain was undone")
            waiting = homes.desk.core.counts(name).pending
            try:
                await self._departing.hand_over(name, taker, 0.0)
            except CaxtonError as error:
                there = homes.cluster.records.agent(name)
                if there is None or there.home in (None, homes.node_id):
                    code = error.code.value
                    return MoveView(name, homes.node_id, taker, True, waiting, why=code, detail=error.message)
                taker = there.home  # it was on its way already, since this node says that it is drained
            return MoveView(name, homes.node_id, taker, True, waiting)

    async def outbox_emptied(self, seconds: float) -> int:
        """Waits for so long at most until no other node is owed a message; gives how many still are."""
        outboxes = self._homes.cluster.outboxes
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(outboxes) and self._homes.cluster.members.reachable != {self._homes.node_id}:
                    await asyncio.sleep(0.05)
        return len(outboxes)
