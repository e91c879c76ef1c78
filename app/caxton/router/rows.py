"""Agents between the registry and the store.

Owns that one translation, both ways. Must never decide what is written.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.protocol.agents import AgentConfig, Retry
from caxton.router.agents import Agent
from caxton.store import AgentRow, SnapshotInfo

_RETRY: Final = Retry()
_BESIDE: Final = ("schedules", "on_owner_loss", "partition_mode")


def _readable(config: AgentConfig) -> AgentConfig:
    """Without what an older release would refuse in a configuration: that is kept beside it."""
    retry = msgspec.structs.replace(config.retry, jitter=_RETRY.jitter, on_dead=_RETRY.on_dead)
    unset = dict.fromkeys(_BESIDE, msgspec.UNSET)
    return msgspec.structs.replace(config, retry=retry, **unset)


def whole_config(row: AgentRow) -> AgentConfig:
    """The inverse of `_readable`."""
    if row.retry is None:
        return row.config
    return msgspec.structs.replace(row.config, retry=row.retry, **{name: getattr(row, name) for name in _BESIDE})


def agent_row(agent: Agent) -> AgentRow:
    """The agent as it is stored."""
    return AgentRow(
        name=agent.name,
        agent_id=agent.agent_id,
        version=agent.version,
        config=_readable(agent.config),
        module=agent.module,
        limits=agent.limits,
        shape=agent.shape,
        instance=agent.instance,
        max_concurrency=agent.max_concurrency,
        deployed_at=agent.deployed_at,
        status=agent.status,
        status_reason=agent.status_reason,
        incarnation=agent.incarnation,
        next_timer_id=agent.next_timer_id,
        capabilities=agent.capabilities,
        descriptor=agent.descriptor,
        isolated=agent.isolated,
        quarantine=agent.quarantine,
        retry=agent.config.retry,
        schedules=agent.config.schedules,
        on_owner_loss=agent.config.on_owner_loss,
        partition_mode=agent.config.partition_mode,
        signature=agent.signature,
        signed_by=agent.signed_by,
    )


def agent_of(row: AgentRow, state_bytes: int, snapshot: SnapshotInfo | None = None) -> Agent:
    """The agent as the registry holds it. `state_bytes`: its keys and values on disk."""
    if snapshot is not None and (snapshot.agent_id != row.agent_id or snapshot.known < row.incarnation):
        snapshot = None  # of an earlier deployment under this name, or an older release has run the agent meanwhile
    return Agent(
        name=row.name,
        agent_id=row.agent_id,
        version=row.version,
        config=whole_config(row),
        module=row.module,
        limits=row.limits,
        shape=row.shape,
        instance=row.instance,
        max_concurrency=row.max_concurrency,
        deployed_at=row.deployed_at,
        status=row.status,
        status_reason=row.status_reason,
        incarnation=row.incarnation,
        next_timer_id=row.next_timer_id,
        state_bytes=state_bytes,
        capabilities=list(row.capabilities),
        descriptor=row.descriptor,
        isolated=row.isolated,
        snapshot=snapshot,
        wakes=0 if snapshot is None else snapshot.wakes,
        quarantine=row.quarantine,
        signature=row.signature,
        signed_by=row.signed_by,
    )
