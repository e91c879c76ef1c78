"""Agents of this node as records of the registry.

Owns what of an agent's row every node must know. Must never decide whether a record is made.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.cluster.placement import stateful
from caxton.protocol.agents import AgentConfig, AgentStatus
from caxton.protocol.peers import AgentRecord
from caxton.router.rows import whole_config
from caxton.store import AgentRow

RUNNING: Final = "running"
STOPPED: Final = "stopped"
_STOPPED: Final = frozenset({AgentStatus.STOPPED, AgentStatus.DRAINING})
_decode_config: Final = msgspec.json.Decoder(AgentConfig).decode
_decode: Final = msgspec.msgpack.Decoder(AgentRecord).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def record_of(row: AgentRow, node_id: str, before: AgentRecord | None, epoch: int = 1) -> AgentRecord:
    """What the row says; where it lives stays as it was, `node_id` is the home of one that gets durable state.

    `epoch`: of a deployment that `before` says nothing of.
    A status of this node alone (failed, quarantined) says nothing about what is wanted.
    """
    config = whole_config(row)
    if before is not None and before.agent_id != row.agent_id:
        before = None
    wanted = RUNNING if before is None else before.status
    if row.status in _STOPPED:
        wanted = STOPPED
    elif row.status is AgentStatus.RUNNING:
        wanted = RUNNING
    home = None
    if stateful(config, row.module):
        home = node_id if before is None or before.home is None else before.home
    return AgentRecord(
        name=row.name,
        agent_id=row.agent_id,
        version=row.version,
        status=wanted,
        config=msgspec.json.encode(config),
        module=row.module,
        deployed_at=row.deployed_at,
        home=home,
        replicas=config.replicas,
        node=config.node,
        epoch=epoch if before is None else before.epoch,
        capabilities=tuple(row.capabilities),
        descriptor=_portable(row.descriptor),
        signature=row.signature,
        signed_by=row.signed_by,
    )


def _portable(descriptor: Any) -> Any:
    """What a guest says of itself, unless it is more than a body can hold (integers over 64 bits)."""
    try:
        _encode(descriptor)
    except (OverflowError, RecursionError, ValueError, TypeError):
        return None
    return descriptor


def encode(record: AgentRecord) -> bytes:
    """As a body."""
    return _encode(record)


def decode(body: bytes) -> AgentRecord:
    """A body; `msgspec.ValidationError` when this release cannot read it."""
    return _decode(body)


def config_of(record: AgentRecord) -> AgentConfig:
    """The configuration; `msgspec.ValidationError` when a newer release says more in it than this one knows."""
    return _decode_config(record.config)
