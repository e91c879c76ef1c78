"""Versions of an agent and how one takes the place of another: bodies, arguments, views.

Owns the fields of updates, rollouts and rollbacks. Must never decide how a rollout goes on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from caxton.protocol.agents import (
    AgentConfig,
    Grants,
    Instance,
    Limits,
    OnOwnerLoss,
    PartitionMode,
    Profile,
    Retry,
    Schedule,
    SelfTest,
    Sha256,
    Shape,
    Supervision,
)

KEPT_VERSIONS: Final = 10
Days = Annotated[float, Meta(ge=0, le=7 * 86_400)]


class Strategy(StrEnum):
    """How a new version takes over."""

    ROLLING = "rolling"
    """At once, as soon as it has started and passed its self-test; the old one ends after its last execution."""
    CANARY = "canary"
    """For a share of the conversations first."""
    BLUE_GREEN = "blue_green"
    """At once, and the old one stays warm for a while."""


class RolloutState(StrEnum):
    """`running`: both versions are up. `promoted`: the new one stays; `returned`: by itself; `aborted`: by hand."""

    RUNNING = "running"
    PROMOTED = "promoted"
    RETURNED = "returned"
    ABORTED = "aborted"


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`percent` of the conversations go to the new version.

    It is taken back when more than `max_error_rate` of its executions fail and it fails more often than the old one,
    or when its median execution takes more than `max_latency_ratio` times as long as the old one's; nothing counts
    before there are `min_executions`. After `duration_seconds` and `min_executions` it is promoted.
    """

    percent: Annotated[float, Meta(gt=0, le=100)] = 10.0
    min_executions: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    max_error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.05
    max_latency_ratio: Annotated[float, Meta(ge=1, le=1_000)] = 3.0
    duration_seconds: Days = 300.0


class BlueGreen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long the old version stays warm."""

    keep_seconds: Days = 600.0


class Figures(msgspec.Struct, frozen=True):
    """How one version did during a rollout; percentiles of its newest 1,000 executions."""

    executions: int = 0
    failed: int = 0
    error_rate: float = 0.0
    p50_seconds: float = 0.0
    p95_seconds: float = 0.0


class ConfigChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Fields of a configuration that change; each is replaced as a whole, what is left out is taken over."""

    shape: Shape | UnsetType | None = UNSET
    instance: Instance | UnsetType | None = UNSET
    state: Annotated[str, Meta(pattern="^(memory|snapshot)$")] | UnsetType = UNSET
    snapshot_from: list[Sha256] | UnsetType = UNSET
    input: Annotated[str, Meta(pattern="^(content|message)$")] | UnsetType = UNSET
    output: Annotated[str, Meta(pattern="^(auto|text|json|bytes)$")] | UnsetType = UNSET
    args: list[str] | UnsetType = UNSET
    env: dict[str, str] | UnsetType = UNSET
    config: dict[str, Any] | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    grants: Grants | UnsetType = UNSET
    capabilities: list[str] | UnsetType = UNSET
    profile: Profile | UnsetType = UNSET
    max_concurrency: Annotated[int, Meta(ge=1, le=1024)] | UnsetType | None = UNSET
    retry: Retry | UnsetType = UNSET
    supervision: Supervision | UnsetType = UNSET
    replicas: int | str | UnsetType = UNSET
    node: str | UnsetType | None = UNSET
    self_test: SelfTest | UnsetType | None = UNSET
    schedules: Annotated[list[Schedule], Meta(max_length=100)] | UnsetType = UNSET
    on_owner_loss: OnOwnerLoss | UnsetType = UNSET
    partition_mode: PartitionMode | UnsetType = UNSET
    record: bool | UnsetType = UNSET

    def applied_to(self, config: AgentConfig) -> AgentConfig:
        """The configuration with these changes."""
        given = {name: getattr(self, name) for name in ConfigChange.__struct_fields__}
        return msgspec.structs.replace(config, **{name: value for name, value in given.items() if value is not UNSET})


class UpdateConfig(ConfigChange, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The part `config` of PUT /agents/{name}: what changes, and how the new version takes over."""

    name: str | UnsetType = UNSET
    strategy: Strategy = Strategy.ROLLING
    canary: Canary | UnsetType = UNSET
    blue_green: BlueGreen | UnsetType = UNSET


class UpdateBody(UpdateConfig, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """JSON body of PUT /agents/{name}: any of a module (base64 or text) and fields of the configuration."""

    wasm_module: str | UnsetType = UNSET
    wat: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET


class RollbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /agents/{name}/rollback; without a version the one before."""

    version: Annotated[int, Meta(ge=1)] | None = None


class RolloutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /agents/{name}/rollout."""

    action: Annotated[str, Meta(pattern="^(?:promote|abort)$")]


# ---- arguments of operations ---------------------------------------------------------------------------------------


class Update(msgspec.Struct, frozen=True):
    """Make a new version; `module` None = the one that is there, with its signature. Answered as `Deploy` is."""

    name: str
    change: ConfigChange
    module: bytes | None = None
    strategy: Strategy = Strategy.ROLLING
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    etag: str | None = None
    wait_seconds: float = 1.0
    signature: str | None = None


class Rollback(msgspec.Struct, frozen=True):
    """Back to an earlier version; None = the one before."""

    name: str
    version: int | None = None
    etag: str | None = None


class Steer(msgspec.Struct, frozen=True):
    """Ends a rollout by hand: `promote` or `abort`."""

    name: str
    action: str
    etag: str | None = None


# ---- views ---------------------------------------------------------------------------------------------------------


class RolloutView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The latest rollout of an agent with two versions side by side. `new` and `old`: what was measured."""

    strategy: Strategy
    state: RolloutState
    from_version: int
    to_version: int
    started_at: str
    ended_at: str | None = None
    reason: str | None = None
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    new: Figures | None = None
    old: Figures | None = None


class VersionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version. `state`: `current`, `candidate` (a canary), `warm` (kept up after a switch), `kept`.

    `reason`: why a rollout took it back; a rollback without a number passes it over. `signed_by`: id of a key.
    """

    version: int
    state: str
    module_sha256: str
    module_bytes: int
    profile: Profile
    deployed_at: str
    reason: str | None = None
    signed_by: str | None = None
