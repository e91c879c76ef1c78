"""What an agent is made of: shape, limits, grants, configuration (spec/abi.md, spec/api.md "Shapes").

Owns the typed models of a deployment. Must never read a module or a file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

MAX_INT: Final = 2**63 - 1
Positive = Annotated[int, Meta(gt=0, le=MAX_INT)]
Seconds = Annotated[float, Meta(gt=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

MEBI: Final = 1024 * 1024
WASM_PAGE_BYTES: Final = 65536


class Shape(StrEnum):
    """Which exports make the agent (spec/abi.md)."""

    COMMAND = "command"
    REACTOR = "reactor"


class Instance(StrEnum):
    """How long an instance lives."""

    PERSISTENT = "persistent"
    PER_MESSAGE = "per_message"


class Profile(StrEnum):
    """Properties of the compiled code; changing it recompiles."""

    STANDARD = "standard"
    DETERMINISTIC = "deterministic"
    THREADS = "threads"


class AgentStatus(StrEnum):
    """Where an agent is in its life."""

    DEPLOYING = "deploying"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits as asked for in a deployment; `None` = the node's default. Sizes in bytes, times in seconds."""

    memory_bytes: Annotated[int, Meta(gt=0, le=4 * 1024 * MEBI)] | None = None
    stack_bytes: Positive | None = None
    execution_timeout_seconds: Seconds | None = None
    cpu_time_seconds: Seconds | None = None
    fuel: Positive | None = None
    table_elements: Positive | None = None
    output_bytes: Positive | None = None
    log_bytes: Positive | None = None
    messages_per_execution: Annotated[int, Meta(ge=0, le=MAX_INT)] | None = None
    host_calls_per_execution: Positive | None = None
    state_bytes: Annotated[int, Meta(ge=0, le=MAX_INT)] | None = None
    temp_storage_bytes: Annotated[int, Meta(ge=0, le=MAX_INT)] | None = None


class EffectiveLimits(msgspec.Struct, frozen=True):
    """Limits in force: every one has a value (`None` = not limited, where spec/abi.md allows it)."""

    memory_bytes: int = 512_000_000
    stack_bytes: int = 1_000_000
    execution_timeout_seconds: float = 30.0
    cpu_time_seconds: float | None = None
    fuel: int | None = None
    table_elements: int = 20_000
    output_bytes: int = 1_000_000
    log_bytes: int = 64_000
    messages_per_execution: int = 1_000
    host_calls_per_execution: int = 100_000
    state_bytes: int = 16_000_000
    key_bytes: int = 1_000
    value_bytes: int = 1_000_000
    temp_storage_bytes: int = 64_000_000


class DirGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host directory that the agent sees as `guest`; below one of `[runtime] shareable_dirs`."""

    host: Annotated[str, Meta(pattern=r"^/[^\x00]*$")]
    guest: Annotated[str, Meta(pattern=r"^/[^\x00]*$")]
    read_only: bool = True


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent may do; nothing else. `send` holds glob patterns of agent names."""

    send: list[str] = msgspec.field(default_factory=lambda: ["*"])
    kv: bool = True
    topics: list[str] = []
    scratch: bool = False
    http: list[str] = []
    secrets: list[str] = []
    dirs: list[DirGrant] = []
    clocks: bool = True
    random: bool = True


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Retry policy; `None` = `[messaging]`. `jitter`: the part of a pause that chance adds or takes.

    `on_dead`: whether the conversation of a dead letter goes on (`continue`), or waits until somebody replays, skips
    or purges it (`hold`).
    """

    max_deliveries: Annotated[int, Meta(ge=1, le=100)] | None = None
    delay_seconds: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    backoff: Annotated[float, Meta(ge=1, le=100)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.25
    on_dead: Annotated[str, Meta(pattern="^(continue|hold)$")] = "continue"


class Supervision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When an agent is quarantined: `dead_letters` within `window_seconds`, from at least `senders` different ones.

    A probe is tried after `pause_seconds`; each that fails doubles the pause, up to `max_pause_seconds`.
    """

    dead_letters: Annotated[int, Meta(ge=1, le=10_000)] = 10
    window_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    senders: Annotated[int, Meta(ge=1, le=1_000)] = 2
    pause_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 10.0
    max_pause_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600.0


class Misfire(StrEnum):
    """What becomes of due times that passed while nothing could be sent."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message that comes by the calendar, from `timer:NAME`. `cron`: five fields, in `time_zone` (IANA).

    Without `content` it carries the schedule's name and the due time.
    """

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,63}$")]
    cron: Annotated[str, Meta(min_length=9, max_length=200)]
    time_zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    jitter_seconds: Annotated[float, Meta(ge=0, le=3_600)] = 0.0
    misfire: Misfire = Misfire.ONCE
    content: Any = msgspec.UNSET


class Quarantine(msgspec.Struct, frozen=True):
    """A quarantine that holds: since when, and when the next probe is due. Seconds (since the epoch)."""

    since: float
    pause_seconds: float
    probe_at: float


class SelfTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that the new agent must answer before it counts as running; `expect` = the reply's content."""

    content: Any = None
    expect: Any = msgspec.UNSET


OnOwnerLoss = Annotated[str, Meta(pattern="^(wait|restart)$")]
"""What becomes of an agent with durable state when its home is out."""
PartitionMode = Annotated[str, Meta(pattern="^(continue|stop)$")]
"""What an agent without durable state does on the smaller side of a cut."""


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deployment without its module: the `config` part of `POST /agents`."""

    name: str
    shape: Shape | None = None
    instance: Instance | None = None
    state: Annotated[str, Meta(pattern="^(memory|snapshot)$")] = "memory"
    snapshot_from: list[Sha256] | msgspec.UnsetType = msgspec.UNSET
    """Modules (SHA-256) besides its own whose snapshots this one can go on from. Not stored where it is not given:
    an older release, to which a node may go back, refuses fields that it does not know."""
    input: Annotated[str, Meta(pattern="^(content|message)$")] = "content"
    output: Annotated[str, Meta(pattern="^(auto|text|json|bytes)$")] = "auto"
    args: list[str] = []
    env: dict[str, str] = {}
    config: dict[str, Any] = {}
    limits: Limits = Limits()
    grants: Grants = Grants()
    capabilities: list[str] = []
    profile: Profile = Profile.STANDARD
    max_concurrency: Annotated[int, Meta(ge=1, le=1024)] | None = None
    retry: Retry = Retry()
    supervision: Supervision = Supervision()
    replicas: int | str = 1
    node: str | None = None
    self_test: SelfTest | None = None
    schedules: Annotated[list[Schedule], Meta(max_length=100)] | msgspec.UnsetType = msgspec.UNSET
    on_owner_loss: OnOwnerLoss | msgspec.UnsetType = msgspec.UNSET
    partition_mode: PartitionMode | msgspec.UnsetType = msgspec.UNSET
    """These two: not given, as `[coordination]` says."""
    record: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether executions are recorded, to be replayed; not given: in profile `deterministic`."""


class ModuleInfo(msgspec.Struct, frozen=True):
    """What the compile jail read from a module. Sizes in bytes, times in seconds."""

    sha256: str
    size_bytes: int
    shape: Shape
    exports: list[str]
    imports: list[str]
    function_count: int
    memory_min_bytes: int
    memory_max_bytes: int | None
    compile_seconds: float
    memories: int = 1
    """How many; `memory_min_bytes` and `memory_max_bytes` are for all, each counted as the largest."""
