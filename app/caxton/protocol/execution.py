"""Frames between the router and one worker process (a socket pair of their own).

Owns the vocabulary of executing: load, execute, host calls, results. Must never cross a node border;
both ends are always of one version. All frames are tagged msgpack arrays, see `caxton.protocol.frames`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from caxton.protocol.agents import DirGrant, EffectiveLimits, Instance, Profile, Shape
from caxton.protocol.messages import Message
from caxton.protocol.snapshots import Snapshot


class AgentSpec(msgspec.Struct, frozen=True):
    """Everything a worker must know to run one version of one agent."""

    name: str
    version: int
    module_sha256: str
    shape: Shape
    instance: Instance
    profile: Profile
    limits: EffectiveLimits
    node: str
    input: str = "content"
    output: str = "auto"
    args: list[str] = []
    env: dict[str, str] = {}
    config: dict[str, Any] = {}
    send: list[str] = msgspec.field(default_factory=lambda: ["*"])
    kv: bool = True
    clocks: bool = True
    random: bool = True
    scratch: bool = False
    topics: list[str] = []
    http: list[str] = []
    secrets: list[str] = []
    dirs: list[DirGrant] = []
    max_message_bytes: int = 1_000_000
    memories: int = 1
    """How many memories the module has; they share `limits.memory_bytes` equally."""
    startup_timeout_seconds: float = 10.0
    shutdown_timeout_seconds: float = 5.0
    snapshot: bool = False
    """Its memory is captured after every execution, and a fresh instance goes on from the last commit."""
    record: bool = False
    """Its executions are recorded at the border (`caxton.protocol.recordings`)."""


# ---- router → worker -------------------------------------------------------------------------------


class Load(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Makes `spec` known as `handle` (a number that the router never uses for anything else)."""

    handle: int
    spec: AgentSpec


class Execute(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Runs one message. `message` is an encoded `Message`.

    `incarnation` is the number that a fresh instance gets, should the worker have to start one.
    """

    exec_id: int
    handle: int
    incarnation: int
    message: bytes
    timer_id: int | None = None
    seed: int = 0


class Start(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Instantiates, runs `_initialize`, `agent_init` and `get_capabilities`; answered by `Result`."""

    exec_id: int
    handle: int
    incarnation: int


class HostReply(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """The answer to a `HostCall`. `status` ≥ 0 or a negative code of spec/abi.md; `data` is its value.

    For `load` the key's bytes; for `secret` its value; for `request` the reply, an encoded `Message`, or nothing when
    the message was handled and not answered; for `http` the answer as JSON text.
    """

    exec_id: int
    call_id: int
    status: int
    data: bytes = b""


class Cancel(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Ends an execution at its next slice; answered by a `Result` with status `cancelled`."""

    exec_id: int


class End(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Ends the resident instance of `handle` (after `agent_shutdown` if `orderly`); answered by `Gone`.

    With `forget` the handle is forgotten too.
    """

    handle: int
    orderly: bool = True
    forget: bool = False


class Pressure(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """Names of agents whose mailbox is full now (the whole list), and whether the node's queue is."""

    full: list[str]
    node_full: bool


class Room(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """How many more messages the outbox takes for the agents `away`, on other nodes (None: the same as before).

    Without a number it takes more than any execution may send.
    """

    left: int | None = None
    away: list[str] | None = None


class Replay(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    """Runs a packed recording again; it asks for nothing and nothing of it may be committed. Answered by `Result`.

    `with_memory`: the instance goes on from the recorded memory, which only the recorded module can.
    """

    exec_id: int
    handle: int
    recording: bytes
    with_memory: bool = True


RouterFrame = Load | Execute | Start | HostReply | Cancel | End | Pressure | Room | Replay


# ---- worker → router -------------------------------------------------------------------------------


class Sent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message that the execution sent; `is_reply` marks what answers the message being handled."""

    message: Message
    is_reply: bool = False
    everyone: bool = False
    """To all that offer the capability, not to one of them."""


class TimerSet(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A timer that the execution set. `timer_id` is unique for the agent; `due` in seconds since the epoch."""

    timer_id: int
    due: float


class LogLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One line of the agent's log, control characters escaped. `stream`: `log`, `error` or `stderr`."""

    at: float
    stream: str
    text: str


class Usage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an execution used. Seconds and bytes."""

    duration_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    fuel: int | None = None
    host_calls: int = 0
    output_bytes: int = 0


class Result(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """How one execution ended.

    `status`: `ok` (handled), `failure` (the agent's own error: exit code, non-zero return, malformed
    message; effects other than the failure reply are dropped), `error` (trap, limit, kill: a failed
    attempt with `code`), `cancelled`, `unknown_handle` (load it again).
    `reply` is the reply's content as JSON text, or None; `sent` holds every message in order, the reply
    included when the reactor called `reply`.
    """

    exec_id: int
    status: str
    usage: Usage
    incarnation: int = 0
    resident: bool = False
    code: str | None = None
    detail: str | None = None
    backtrace: str | None = None
    exit_code: int | None = None
    reply: bytes | None = None
    sent: list[Sent] = []
    writes: list[tuple[str, bytes | None]] = []
    timers_set: list[TimerSet] = []
    timers_cancelled: list[int] = []
    logs: list[LogLine] = []
    logs_dropped: int = 0
    capabilities: bytes | None = None
    snapshot: Snapshot | None = None
    woke_seconds: float | None = None
    """How long it took to restore the instance from its snapshot, if that was done."""
    start_failed: bool = False
    """An `error` while the instance came up, before it saw the message."""
    topics: list[str] = []
    """Topics that the execution subscribed to."""
    recording: bytes | None = None
    """Packed, of an agent whose executions are recorded, and of a replay."""


class HostCall(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """A host function whose answer only the router has; the fiber is suspended until `HostReply`.

    `kind`: `load` (`key`), `request` (`message`, already derived id), `restore` (`key` = part of the snapshot,
    answered by an encoded `caxton.protocol.snapshots.Image`), `http` (`data` = the guest's JSON, `key` = the
    idempotency key), `count` (`key`, a topic or capability as a receiver: how many it stands for),
    `secret` (`key`, its name).
    """

    exec_id: int
    call_id: int
    kind: str
    key: str | None = None
    message: Message | None = None
    data: bytes = b""


class Suspended(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """The execution sleeps (`sleeping`) or is runnable again; only runnable ones count on the node."""

    exec_id: int
    sleeping: bool


class Gone(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """The resident instance of `handle` left memory; `incarnation` is 0 if there was none.

    `reason`: `idle` (for too long), `crowded` (the worker holds as many as it may), `reclaimed` (by an `End` after
    which the handle stays known), `ended` (with its handle) or `discarded` (an execution failed). `overdue`: it was
    ended before `agent_shutdown` had returned.
    """

    handle: int
    incarnation: int
    reason: str
    overdue: bool = False


class WorkerStats(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Once a second: what the worker holds. Bytes and counts.

    `own_bytes`: resident memory that is neither a guest's nor backed by a file, e.g. a module's code.
    """

    resident: int
    runnable: int
    suspended: int
    executions: int
    rss_bytes: int
    own_bytes: int = 0


WorkerFrame = Result | HostCall | Suspended | Gone | WorkerStats
