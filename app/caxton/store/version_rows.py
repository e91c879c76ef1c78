"""The rows of versions and rollouts, and how they are read.

Owns the SQL that reads them. Must never write.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from caxton.protocol.agents import AgentConfig, EffectiveLimits, Instance, ModuleInfo, Shape
from caxton.protocol.versions import BlueGreen, Canary, Figures, RolloutState, Strategy


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an agent. An `AgentRow` is one too: what is deployed at the upgrade becomes the first.

    `returned`: why a rollout took it back. `signature`: the text that the module was deployed with, `signed_by` the
    id of its key.
    """

    name: str
    agent_id: str
    version: int
    config: AgentConfig
    module: ModuleInfo
    limits: EffectiveLimits
    shape: Shape
    instance: Instance
    max_concurrency: int
    deployed_at: float
    capabilities: list[str] = []
    descriptor: Any = None
    isolated: bool = False
    returned: str | None = None
    signature: str | None = None
    signed_by: str | None = None


class RolloutRow(msgspec.Struct, frozen=True, kw_only=True):
    """The latest rollout of an agent that had two versions side by side."""

    name: str
    agent_id: str
    strategy: Strategy
    state: RolloutState
    from_version: int
    to_version: int
    started_at: float
    ended_at: float | None = None
    reason: str | None = None
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    new: Figures | None = None
    old: Figures | None = None


_decode_version: Final = msgspec.json.Decoder(VersionRow).decode
_decode_rollout: Final = msgspec.json.Decoder(RolloutRow).decode


def read_versions(connection: sqlite3.Connection, agent: str | None) -> list[VersionRow]:
    """The kept versions (of one agent), oldest first."""
    where, values = ("WHERE agent = ?", (agent,)) if agent is not None else ("", ())
    rows = connection.execute(f"SELECT document FROM agent_version {where} ORDER BY agent, version", values)
    return [_decode_version(row[0]) for row in rows.fetchall()]


def read_rollouts(connection: sqlite3.Connection) -> list[RolloutRow]:
    """The latest rollout of every agent that had one."""
    rows = connection.execute("SELECT document FROM rollout ORDER BY agent")
    return [_decode_rollout(row[0]) for row in rows.fetchall()]


def modules_of_versions(connection: sqlite3.Connection) -> set[str]:
    """SHA-256 of every module that a kept version is made of; an older database has none."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'agent_version'")
    if found.fetchone() is None:
        return set()
    rows = connection.execute("SELECT document FROM agent_version").fetchall()
    return {_decode_version(row[0]).module.sha256 for row in rows}
