"""Agents come up on this node, take another version and go, as the registry says.

Owns these steps; each leaves the agent as it was when it fails. To be called with the agent's lock, and while it is
mirrored. Must never decide whether an agent belongs here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from caxton.cluster import placement
from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, ModuleInfo
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import AgentRecord
from caxton.router import admission, lifecycle, provenance
from caxton.router.agents import Agent
from caxton.router.cluster import agent_records, bodies
from caxton.router.cluster.modules import Fetching
from caxton.router.cluster.records import Records
from caxton.router.cluster.sight import Sight
from caxton.router.deployments import describe, let_go
from caxton.router.desk import Desk
from caxton.router.rows import agent_row
from caxton.router.versions import rollouts
from caxton.router.versions.kept import version_row
from caxton.router.versions.updates import take_version
from caxton.store import Changes

_GRACE_SECONDS: Final = 10.0


class Installing:
    """On one node."""

    def __init__(self, desk: Desk, records: Records, fetching: Fetching) -> None:
        self._desk, self._records, self._fetching = desk, records, fetching
        self._prepared: set[str] = set()

    # ---- coming up ---------------------------------------------------------------------------------

    async def bring_up(self, record: AgentRecord, sight: Sight) -> None:
        """The agent is here from now on, running or stopped as the record says; failed, it is here and says why."""
        async with self._module(record, sight):
            agent = await agent_of_record(self._desk, record)
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

    async def _started(self, agent: Agent) -> None:
        try:
            describe(agent, await self._desk.core.start_agent(agent))
            agent.status = AgentStatus.RUNNING
        except CaxtonError as error:
            agent.status, agent.status_reason = AgentStatus.FAILED, f"{error.code}: {error.message}"[:1_000]
            await self._desk.core.drain(agent, 0.0)

    # ---- modules -----------------------------------------------------------------------------------

    def lacks(self, record: AgentRecord, sight: Sight) -> bool:
        """Whether this node is to have the module in case others go, and has it not."""
        sha256 = record.module.sha256
        return sha256 not in self._prepared and sight.node_id in placement.holders(record, sight.active)

    async def keep_module(self, record: AgentRecord, sight: Sight) -> None:
        """The module is here, and compiled if this node could run the agent."""
        async with self._module(record, sight):
            self._prepared.add(record.module.sha256)
            if record.home is None:
                with suppress(CaxtonError, msgspec.ValidationError):  # why not is said when it is to run here
                    await agent_of_record(self._desk, record)

    @asynccontextmanager
    async def _module(self, record: AgentRecord, sight: Sight) -> AsyncIterator[None]:
        sha256 = record.module.sha256
        first = [node for node in placement.holders(record, sight.active) if node in sight.reachable]
        others = sorted(sight.reachable - {*first, sight.node_id})
        holders = [node for node in first if node != sight.node_id] + others
        await self._fetching.hold(sha256, record.module.size_bytes, holders)
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
