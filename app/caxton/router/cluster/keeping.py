"""Agents whose home turns out to be elsewhere stop here; those whose home is here go on once that is certain.

Owns that loop, and what becomes of what such an agent had here: an archive, and its mail follows it. Must never stop
one whose record says that it lives here.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from caxton.cluster.registry import is_moment
from caxton.protocol.handover import Side, Step
from caxton.protocol.peers import AgentRecord, Record
from caxton.router.agents import Agent
from caxton.router.cluster.archive import write_archive
from caxton.router.cluster.handover_in import Arriving
from caxton.router.cluster.handover_out import Departing
from caxton.router.cluster.homes import Homes, keeps_state, leave
from caxton.store import Changes

LOOK_SECONDS: Final = 0.5
log = logging.getLogger(__name__)


class Keeping:
    """One per node of a cluster."""

    def __init__(self, homes: Homes, arriving: Arriving, departing: Departing) -> None:
        self._homes, self._arriving, self._departing = homes, arriving, departing
        self._desk = homes.desk
        self.wake = asyncio.Event()
        homes.cluster.records.watch(self._changed)

    async def recover(self) -> None:
        """Before anything runs: agents that were being unpacked are whole, and those that come are waited for."""
        for row in list(self._homes.rows.values()):
            if row.side is Side.IN and row.step is Step.COMMITTED:
                agent = self._desk.registry.get(row.agent)
                if agent is None:
                    self._homes.waits.add(row.agent, row.peer)
                    continue
                self._desk.registry.drop(agent.name)
                stored = next(one for one in self._desk.store.reader.agents() if one.name == row.agent)
                self._desk.registry.add(await self._arriving.unpack(stored))
                await self._homes.end(row.agent, Side.IN)

    async def run(self) -> None:
        """For ever; to be cancelled."""
        homes = self._homes
        self._departing.resume()
        while True:
            self.wake.clear()
            if not homes.knows and homes.may_know():
                homes.knows = True
            for agent in homes.look([agent.name for agent in self._desk.registry]):
                await self._stand_down(agent)
            await self._reassert()
            await self._arriving.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.wake.wait()

    def _changed(self, records: list[Record]) -> None:
        """An agent that lives elsewhere now runs nothing more from this turn of the loop on."""
        for record in records:
            agent = self._desk.registry.get(record.name) if record.kind == "agent" else None
            if agent is not None and keeps_state(agent) and self._homes.is_stray(agent):
                self._desk.core.moving.hold(agent)
        self.wake.set()

    async def _stand_down(self, agent: Agent) -> None:
        """What it had is archived; what waits for it goes to where it lives."""
        homes, core, name = self._homes, self._desk.core, agent.name
        if not homes.knows or homes.row(name, Side.OUT) is not None:
            return
        core.moving.hold(agent)
        async with self._desk.lock(name):
            if self._desk.registry.get(name) is not agent or not homes.is_stray(agent):
                return
            await core.moving.still(agent, 0.0)
            await write_archive(homes, agent)
            await core.commit(Changes(departed=[name]))
            leave(homes, agent)
        log.error("agent %s lives elsewhere since this node was away: what it had here is archived", name)

    async def _reassert(self) -> None:
        """A home keeps its epoch, and one that an older release gave becomes a moment: only those are kept by all.

        To a node of the release before, the later of two records is the one that stays.
        """
        records, epochs = self._homes.cluster.records, self._homes.epochs
        for record in self._homes.at_home():
            if self._desk.registry.get(record.name) is not None:
                epochs[record.name] = max(record.epoch, epochs.get(record.name, 0))
        for name, epoch in list(epochs.items()):
            record_now = records.agent(name)
            if record_now is None or self._desk.registry.get(name) is None:
                del epochs[name]
            elif self._homes.is_moving(name):
                continue
            elif record_now.epoch < epoch:
                await self._say(name, epoch)
            elif self._may_begin(record_now):
                await self._say(name, records.registry.epoch())

    def _may_begin(self, record: AgentRecord) -> bool:
        """Whether it is time for the first epoch of this home that counts."""
        homes = self._homes
        known = homes.knows and homes.cluster.members.majority
        return known and record.home == homes.node_id and not is_moment(record.epoch)

    async def _say(self, name: str, epoch: int) -> None:
        self._desk.core.commits.hand_over()
        said = self._homes.cluster.records.rehome(name, self._homes.node_id, epoch)
        await self._desk.core.commit(Changes(registry=[said]))
