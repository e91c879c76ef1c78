"""This node runs what the registry says: agents without durable state that are placed here, and no others.

Owns the comparison of the registry with what is deployed here, and the pace of becoming equal. Must never touch an
agent with durable state: it runs where its home is, and homes move by hand-over only. Without a majority nothing is
begun or ended. What this node refuses (limits, signatures, a newer release's configuration) is said once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from caxton.cluster import placement
from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import AgentRecord, Record
from caxton.router import lifecycle
from caxton.router.agents import Agent
from caxton.router.cluster import agent_records, bodies, version_records
from caxton.router.cluster.archive import write_archive
from caxton.router.cluster.install import Installing
from caxton.router.cluster.records import Records
from caxton.router.cluster.sight import Sight
from caxton.router.desk import Desk

SIDE_BY_SIDE: Final = 4
PERIOD_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 60.0
"""Between looks at all agents, when no member came or went: for what nobody was told of."""
AGAIN_SECONDS: Final = 15.0
"""After which an agent that could not be brought up is tried again, if nothing changes before."""
AT_ONCE: Final = 200
"""Agents that are looked at in one turn of the loop."""
log = logging.getLogger(__name__)


def should_run(desk: Desk, record: AgentRecord) -> bool:
    """Whether the agent's place is on this node, as far as this node sees the members; alone: always."""
    return desk.cluster is None or placement.runs_on(record, desk.cluster.node_id, desk.cluster.members.active)


class Reconciler:
    """`sight`: the members now; `counts`: agents `brought_up` here, `ended` here, and tries that `failed`."""

    def __init__(
        self, desk: Desk, records: Records, installing: Installing, sight: Callable[[], Sight], counts: Counter[str]
    ) -> None:
        self._desk, self._records, self._installing, self._sight = desk, records, installing, sight
        self._counts = counts
        self._wake = asyncio.Event()
        self._look_at: set[str] = set()
        self._all = True
        self._looked_at = 0.0
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(SIDE_BY_SIDE)
        self._not_before: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        records.watch(self._changed)

    def members_changed(self) -> None:
        """Agents may have other places now."""
        self._all = True
        self._wake.set()

    async def run(self, synced: asyncio.Event) -> None:
        """For ever; to be cancelled. Nothing is done before this node knows what a majority knows."""
        await synced.wait()
        while True:
            self._wake.clear()
            names, self._look_at = self._look_at, set()
            if self._all:
                self._all, self._looked_at = False, time.monotonic()
                names = {agent.name for agent in self._desk.registry} | {one.name for one in self._records.agents()}
            await self._look(names)
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._wake.wait()
            now = time.monotonic()
            self._look_at |= {name for name, at in self._not_before.items() if at <= now}
            self._all = self._all or now - self._looked_at >= LOOK_SECONDS

    def _changed(self, records: list[Record]) -> None:
        names = {record.name for record in records if record.kind == bodies.AGENT}
        names |= {
            version_records.agent_of(record.name) for record in records if record.kind == version_records.VERSION
        }
        if names:
            self._look_at |= names
            for name in names:
                self._not_before.pop(name, None)
            self._wake.set()

    async def _look(self, names: set[str]) -> None:
        for number, name in enumerate(sorted(names)):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            if name not in self._under_way and self._differs(name):
                task = self._desk.spawn(self._settle(name))
                self._under_way[name] = task
                task.add_done_callback(partial(self._settled, name))

    def _settled(self, name: str, _: asyncio.Task[None]) -> None:
        self._under_way.pop(name, None)
        if self._differs(name):  # something else was decided meanwhile, or it is to be tried again
            self._look_at.add(name)
            self._wake.set()

    # ---- one agent ---------------------------------------------------------------------------------

    def _differs(self, name: str) -> bool:
        """Whether there is something to do now."""
        sight = self._sight()
        if not sight.majority or not sight.active or self._not_before.get(name, 0.0) > time.monotonic():
            return False
        agent, record = self._desk.registry.get(name), self._records.agent(name)
        if record is None:
            return agent is not None and self._records.is_removed(name)
        if record.home is not None:
            return self._installing.lacks(record, sight) if agent is None else self._is_stray(agent, record)
        if agent is not None and self._keeps_state(agent):
            return False
        if placement.runs_on(record, sight.node_id, sight.active):
            return agent is None or _is_other(agent, record) or self._differs_in_rest(agent, record)
        return agent is not None or self._installing.lacks(record, sight)

    def _differs_in_rest(self, agent: Agent, record: AgentRecord) -> bool:
        return _status_differs(agent, record) or self._installing.lacks_versions(agent)

    def _is_stray(self, agent: Agent, record: AgentRecord) -> bool:
        """A replica of what got durable state with a newer version, and lives elsewhere now."""
        return record.home != self._sight().node_id and not self._keeps_state(agent)

    @staticmethod
    def _keeps_state(agent: Agent) -> bool:
        return placement.stateful(agent.config, agent.module)

    async def _settle(self, name: str) -> None:
        async with self._places:
            self._not_before.pop(name, None)
            try:
                async with self._desk.lock(name):
                    with self._records.mirroring(name):
                        await self._become(name)
            except (CaxtonError, msgspec.ValidationError) as error:
                self._counts["failed"] += 1
                self._tell(name, error)
                self._not_before[name] = time.monotonic() + AGAIN_SECONDS
            except Exception:
                self._not_before[name] = time.monotonic() + AGAIN_SECONDS
                raise

    async def _become(self, name: str) -> None:
        """One step or all of them: what is left to do is seen afterwards."""
        if not self._differs(name):
            return
        sight = self._sight()
        agent, record = self._desk.registry.get(name), self._records.agent(name)
        here = record is not None and record.home is None and should_run(self._desk, record)
        if record is None or not here or (agent is not None and agent.agent_id != record.agent_id):
            if agent is not None:
                await self._end(agent, removed=record is None)
            elif record is not None and not await self._installing.keep_modules(record, sight):
                self._not_before[name] = time.monotonic() + AGAIN_SECONDS
            return
        if agent is None:
            await self._installing.bring_up(record, sight)
            self._counts["brought_up"] += 1
        elif agent.version != record.version:
            await self._installing.take_version(agent, record, sight)
        elif not _status_differs(agent, record):
            if not await self._installing.take_versions(agent, record, sight):
                self._not_before[name] = time.monotonic() + AGAIN_SECONDS
        elif record.status == agent_records.STOPPED:
            grace = self._desk.config.runtime.agent_shutdown_timeout
            await lifecycle.halt(self._desk, agent, grace, "it was stopped on another node")
        else:
            await lifecycle.run(self._desk, agent)

    async def _end(self, agent: Agent, *, removed: bool) -> None:
        if removed and self._keeps_state(agent) and self._desk.cluster is not None:
            await write_archive(self._desk.cluster.homes, agent)  # it was removed while this node was away
        await self._installing.end(agent, removed=removed)
        self._counts["ended"] += 1

    def _tell(self, name: str, error: Exception) -> None:
        """Once for each reason."""
        reason = error.code.value if isinstance(error, CaxtonError) else "unreadable"
        if (name, reason) not in self._told:
            self._told.add((name, reason))
            log.error("agent %s cannot run on this node: %s: %s", name, reason, error)
            self._desk.events.publish("agent.not_placed", {"name": name, "node": self._desk.node, "code": reason})


def _is_other(agent: Agent, record: AgentRecord) -> bool:
    return (agent.agent_id, agent.version) != (record.agent_id, record.version)


def _status_differs(agent: Agent, record: AgentRecord) -> bool:
    """One that is quarantined runs as far as the registry is concerned."""
    if record.status == agent_records.STOPPED:
        return agent.status is not AgentStatus.STOPPED
    return agent.status in (AgentStatus.STOPPED, AgentStatus.FAILED)
