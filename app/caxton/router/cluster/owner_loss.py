"""Agents whose home is out, and that are to start afresh elsewhere rather than wait (`on_owner_loss = "restart"`).

Owns the watch over such homes. Must never touch one whose agent waits: an operator decides about that.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from caxton.cluster.plan import new_home
from caxton.protocol.cluster_moves import Adopt
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import AgentRecord
from caxton.router.cluster import agent_records
from caxton.router.cluster.adopt import Adopting
from caxton.router.cluster.homes import Homes

RESTART: Final = "restart"
LOOK_SECONDS: Final = 0.5
log = logging.getLogger(__name__)


class OwnerLoss:
    """One per node of a cluster; the first in rank of those that take work acts."""

    def __init__(self, homes: Homes, adopting: Adopting) -> None:
        self._homes, self._adopting = homes, adopting
        self._out_since: dict[str, float] = {}

    async def run(self) -> None:
        """For ever; to be cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._watch(loop.time())
            if not self._homes.knows or not self._homes.cluster.members.majority:
                continue
            patience = self._homes.desk.config.coordination.detection_timeout
            lost = {node for node, since in self._out_since.items() if loop.time() - since >= patience}
            for record in self._homes.cluster.records.agents() if lost else ():
                if record.home in lost and self._is_mine(record):
                    await self._restart(record)

    def _watch(self, now: float) -> None:
        out = self._homes.cluster.members.out
        self._out_since = {node: self._out_since.get(node, now) for node in out}

    def _is_mine(self, record: AgentRecord) -> bool:
        if new_home(record, self._homes.cluster.members.active) != self._homes.node_id:
            return False
        try:
            own = agent_records.config_of(record).on_owner_loss
        except msgspec.ValidationError:  # of a newer release
            return False
        return (self._homes.desk.config.coordination.on_owner_loss if own is msgspec.UNSET else own) == RESTART

    async def _restart(self, record: AgentRecord) -> None:
        reason = f"its home {record.home} is out, and it is to start afresh then: its state is lost"
        try:
            await self._adopting.adopt(Adopt(record.name, clean=True), reason)
        except CaxtonError as error:
            log.error("agent %s cannot be started afresh: %s: %s", record.name, error.code, error.message)
            return
        self._homes.desk.events.publish(
            "agent.restarted_elsewhere", {"name": record.name, "node": self._homes.node_id, "giver": record.home}
        )
