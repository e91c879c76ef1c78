"""Agents come up on this node, take another version and go, as the registry says.

Owns these steps; each leaves the agent as it was when it fails. To be called with the agent's lock, and while it is
mirrored. Must never decide whether an agent belongs here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from caxton.cluster import placement
from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, ModuleInfo
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import AgentRecord, Record
from caxton.router import admission, lifecycle, provenance
from caxton.router.agents import Agent
from caxton.router.cluster import agent_records, bodies, version_records
from caxton.router.cluster.modules import Fetching
from caxton.router.cluster.records import Records
from caxton.router.cluster.sight import Sight
from caxton.router.deployments import describe, discard_modules, let_go
from caxton.router.desk import Desk
from caxton.router.rows import agent_row
from caxton.router.versions import rollouts
from caxton.router.versions.kept import version_row
from caxton.router.versions.updates import take_version
from caxton.store import Changes

_GRACE_SECONDS: Final = 10.0
log = logging.getLogger(__name__)


class Installing:
    """On one node."""

    def __init__(self, desk: Desk, records: Records, fetching: Fetching) -> None:
        self._desk, self._records, self._fetching = desk, records, fetching
        self._prepared: set[str] = set()
        self._taken: dict[str, dict[int, int]] = {}
        """By agent: versions whose records were looked at, and the `hlc` of those."""

    # ---- coming up ---------------------------------------------------------------------------------

    async def bring_up(self, record: AgentRecord, sight: Sight) -> None:
        """The agent is here from now on, running or stopped as the record says; failed, it is here and says why."""
        async with self._module(record, sight):
            agent = await agent_of_record(self._desk, record)
            self._taken.pop(agent.name, None)
            self._desk.registry.add(agent)
            if record.status == agent_records.STOPPED:
                agent.status = AgentStatus.STOPPED
            else:
                await self._started(agent)
            version = version_row(agent)
            self._desk.versions.add(version)
            await self._desk.core.commit(Changes(agents=[agent_row(agent)], versions=[version]))
        if agent.status is AgentStatus.RUNNING:
            self._desk.core.attach(agent)
        self._told("agent.placed", agent)

    async def take_version(self, agent: Agent, record: AgentRecord, sight: Sight) -> None:
        """The agent becomes the version of the record; the one before serves until that one has started."""
        async with self._module(record, sight):
            other = await agent_of_record(self._desk, record)
            await rollouts.settle(self._desk, agent.name, "another node decided on another version")
            await take_version(self._desk, agent, version_row(other))
        self._told("agent.updated", agent)

    # ---- what it can go back to --------------------------------------------------------------------

    def lacks_versions(self, agent: Agent) -> bool:
        """Whether others keep versions of it that are not kept here, or the other way round."""
        return bool(self._wanted(agent) or self._unwanted(agent))

    async def take_versions(self, agent: Agent, record: AgentRecord, sight: Sight) -> bool:
        """The same are kept here, modules and all; False when a module cannot be had now."""
        gone = self._unwanted(agent)
        if gone:
            await self._desk.core.commit(Changes(versions_removed=[(agent.name, number) for number in gone]))
            discard_modules(self._desk, self._desk.versions.drop(agent.name, gone))
        try:
            for said in self._wanted(agent):
                await self._take(agent, said, record, sight)
        except CaxtonError as error:
            log.info("versions of %s are not all here yet: %s", agent.name, error)
            return False
        return True

    async def _take(self, agent: Agent, said: Record, record: AgentRecord, sight: Sight) -> None:
        try:
            row = version_records.decode(said)
        except msgspec.ValidationError as error:
            log.error("version %s: this release cannot read the record: %s", said.name, error)
        else:
            if row.agent_id == agent.agent_id:
                async with self._module(record, sight, row.module):
                    await self._desk.core.commit(Changes(versions=[row]))
                    self._desk.versions.add(row)
        self._taken.setdefault(agent.name, {})[version_records.number_of(said)] = said.hlc

    def _wanted(self, agent: Agent) -> list[Record]:
        """What another node has said of its versions and was not taken over; of its own words a node has the rows."""
        here, taken = self._desk.versions.numbers(agent.name), self._taken.get(agent.name, {})
        return [
            said
            for said in self._records.versions.of(agent.name)
            if (number := version_records.number_of(said)) != agent.version
            and taken.get(number) != said.hlc
            and (number not in here or said.writer != self._desk.node)
        ]

    def _unwanted(self, agent: Agent) -> list[int]:
        here = self._desk.versions.numbers(agent.name)
        return [n for n in here if n != agent.version and self._records.versions.is_gone(agent.name, n)]

    async def _started(self, agent: Agent) -> None:
        try:
            describe(agent, await self._desk.core.start_agent(agent))
            agent.status = AgentStatus.RUNNING
        except CaxtonError as error:
            agent.status, agent.status_reason = AgentStatus.FAILED, f"{error.code}: {error.message}"[:1_000]
            await self._desk.core.drain(agent, 0.0)

    # ---- modules -----------------------------------------------------------------------------------

    def lacks(self, record: AgentRecord, sight: Sight) -> bool:
        """Whether this node is to have its modules in case others go, and has one of them not."""
        modules = {
            record.module.sha256,
            *(module.sha256 for module in self._records.versions.modules_of(record.name)),
        }
        return not modules <= self._prepared and sight.node_id in placement.holders(record, sight.active)

    async def keep_modules(self, record: AgentRecord, sight: Sight) -> bool:
        """The module is here, and compiled if this node could run the agent; False: one of a kept version is not."""
        async with self._module(record, sight):
            self._prepared.add(record.module.sha256)
            if record.home is None:
                with suppress(CaxtonError, msgspec.ValidationError):  # why not is said when it is to run here
                    await agent_of_record(self._desk, record)
        try:
            for module in self._records.versions.modules_of(record.name):
                async with self._module(record, sight, module):
                    self._prepared.add(module.sha256)
        except CaxtonError as error:
            log.info("modules of versions of %s are not all here yet: %s", record.name, error)
            return False
        return True

    @asynccontextmanager
    async def _module(
        self, record: AgentRecord, sight: Sight, module: version_records.Module | ModuleInfo | None = None
    ) -> AsyncIterator[None]:
        """A module of the agent is here and held: the one that it is made of, or a kept version's."""
        wanted = module or record.module
        sha256 = wanted.sha256
        first = [node for node in placement.holders(record, sight.active) if node in sight.reachable]
        others = sorted(sight.reachable - {*first, sight.node_id})
        holders = [node for node in first if node != sight.node_id] + others
        await self._fetching.hold(sha256, wanted.size_bytes, holders)
        try:
            yield
        finally:
            let_go(self._desk, sha256)

    # ---- going -------------------------------------------------------------------------------------

    async def end(self, agent: Agent, *, removed: bool) -> None:
        """The agent is here no more. What waits for it stays, to be passed on; for one that is removed it is dead."""
        core = self._desk.core
        await core.drain(agent, _GRACE_SECONDS)
        if removed:
            await core.discard_pending(agent, purge=False, remove=True)
        else:
            await core.commit(Changes(agents_removed=[agent.name]))
            await core.commit(Changes(subscriptions=self._subscriptions(agent.name), registry=[]))
        core.detach(agent, elsewhere=True)
        lifecycle.forget(self._desk, agent)
        self._told("agent.removed" if removed else "agent.left", agent)

    def _subscriptions(self, name: str) -> list[tuple[str, str, float | None]]:
        """Those of an agent that goes on elsewhere: they went with its rows."""
        found = map(bodies.subscription, self._records.registry.of_kind(bodies.SUBSCRIPTION))
        return [one for one in found if one[1] == name]

    def _told(self, event: str, agent: Agent) -> None:
        self._desk.events.publish(event, {"name": agent.name, "version": agent.version, "node": self._desk.node})


async def agent_of_record(desk: Desk, record: AgentRecord) -> Agent:
    """The agent, compiled and admitted by this node's own configuration, and not started; its module is here."""
    config, sha256 = agent_records.config_of(record), record.module.sha256
    limits = admission.check_config(config, desk.config)
    signed_by = provenance.require_incoming(desk, config.name, sha256, record.signature)
    module = await desk.core.prepare(config, sha256, desk.modules.path(sha256), lambda _: None)
    admission.check_module(config, limits, module)
    agent = _agent(record, config, module)
    agent.limits, agent.signed_by = limits, signed_by
    return agent


def _agent(record: AgentRecord, config: AgentConfig, module: ModuleInfo) -> Agent:
    instance = admission.instance_of(config, module.shape)
    return Agent(
        name=record.name,
        agent_id=record.agent_id,
        version=record.version,
        config=config,
        module=module,
        limits=EffectiveLimits(),
        shape=module.shape,
        instance=instance,
        max_concurrency=admission.concurrency_of(config, instance),
        deployed_at=record.deployed_at,
        capabilities=list(record.capabilities),
        descriptor=record.descriptor,
        isolated=bool(config.grants.dirs),
        signature=record.signature,
    )
