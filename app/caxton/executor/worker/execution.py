"""One execution: what it may do, what it did, what it waits for.

Owns everything that lives from `Execute` (or `Start`, `End`) until `Result`. Must never run a guest: the
scheduler does, step by step along `program`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from caxton.executor.binding.instance import UNLIMITED_FUEL, Instance
from caxton.executor.binding.memory import Memory
from caxton.executor.worker.agent import Agent, Resident
from caxton.protocol.agents import Profile
from caxton.protocol.execution import LogLine, TimerSet
from caxton.protocol.messages import Message
from caxton.protocol.snapshots import Snapshot

LOG_LINE_BYTES: Final = 4_096


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a program ended; the fields are those of `caxton.protocol.execution.Result`."""

    status: str = "ok"
    code: str | None = None
    detail: str | None = None
    backtrace: str | None = None
    exit_code: int | None = None
    reply: bytes | None = None
    capabilities: bytes | None = None


Program = Generator[None, None, Ending]
"""Begins calls of `Execution.instance` and yields until each has ended; a yield means "poll until done"."""


class Sleep(NamedTuple):
    """A deferred call that waits for the clock. `until` by CLOCK_MONOTONIC; `finish` gives the result."""

    until: float | None
    finish: Callable[[], int]


class Ask(NamedTuple):
    """A deferred call that only the router can answer. `finish(status, data)` gives the result.

    `until`: when to stop waiting, by CLOCK_MONOTONIC (None = as long as the execution may last).
    """

    kind: str
    key: str | None
    message: Message | None
    finish: Callable[[int, bytes], int]
    until: float | None = None
    data: bytes = b""


class Handed(NamedTuple):
    """Guest bytes that are parsed when the guest has returned. `kind`: `send`, `reply`, `broadcast` (`receiver`)."""

    kind: str
    ordinal: int
    data: bytes
    receiver: str = ""


class Source(Protocol):
    """Where clock and random numbers of an execution come from, if not from the host."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        ...


class DeterministicSource:
    """Clock and random numbers of a deterministic instance: fixed for an execution, and from its seed."""

    def __init__(self) -> None:
        self._now_us = 0
        self._random = random.Random(0)  # nosec B311 # the same for every run: that is what it is for

    def begin(self, now_us: int, seed: int) -> None:
        """The next execution starts."""
        self._now_us = now_us
        self._random.seed(seed)

    def now_us(self) -> int:
        """Microseconds since the epoch; never changes."""
        return self._now_us

    def random_bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        return self._random.randbytes(count)


class Execution(msgspec.Struct, eq=False):
    """The state of one execution. Times in seconds: `wall` and `cpu` used so far, clocks are monotonic."""

    exec_id: int
    agent: Agent
    kind: str
    incarnation: int
    timeout: float
    message: Message | None = None
    timer_id: int | None = None
    seed: int = 0
    program: Program | None = None
    instance: Instance | None = None
    source: Source | None = None
    wasi: Any = None  # caxton.executor.wasi.WasiState; the worker only passes it on
    may_act: bool = True
    resident: Resident | None = None
    """The instance in use with what belongs to it; it goes back to the agent if `keep` is set."""
    keep: bool = False
    peak_memory: int = 0
    fuel_used: int | None = None
    cpu: float = 0.0
    wall: float = 0.0
    fresh: bool = True
    cancelled: bool = False
    ended: bool = False
    starting: bool = False
    """Its instance is coming up."""
    suspended_at: float | None = None
    waiting: Sleep | Ask | None = None
    wait_token: int = 0
    call_id: int = 0
    told_sleeping: bool = False

    ordinal: int = 0
    handed: list[Handed] = []
    sent_away: int = 0
    """How many of them are for agents on other nodes, as far as that mattered."""
    replied: bool = False
    writes: dict[bytes, bytes | None] = {}
    write_bytes: int = 0
    timers_set: dict[int, TimerSet] = {}
    timers_cancelled: list[int] = []
    topics: list[str] = []
    logs: list[LogLine] = []
    log_bytes: int = 0
    logs_dropped: int = 0
    answer: bytes | None = None
    snapshot: Snapshot | None = None
    """What it changed in the agent's memory, if that is captured."""
    woke_seconds: float | None = None
    border: Any = None  # caxton.executor.worker.border.Border, of an execution that is recorded or replayed
    first_timer_id: int = 0
    """The agent's last timer before it, if it has a border."""

    @property
    def memory(self) -> Memory:
        """The guest's memory."""
        assert self.instance is not None  # host functions run only while there is one
        return self.instance.memory

    @property
    def host_calls(self) -> int:
        """Host calls made so far."""
        if self.instance is None:
            return 0
        return self.agent.spec.limits.host_calls_per_execution - max(self.instance.calls_left, 0)

    def measure(self) -> None:
        """Notes what the instance uses while it still exists."""
        instance = self.instance
        if instance is not None and not instance.closed:
            self.peak_memory = instance.memory.size()
            if self.agent.spec.profile is Profile.DETERMINISTIC:
                budget = self.agent.spec.limits.fuel or UNLIMITED_FUEL
                self.fuel_used = budget - instance.fuel()

    def next_ordinal(self) -> int:
        """The ordinal of the next message that this execution sends."""
        self.ordinal += 1
        return self.ordinal

    def log(self, stream: str, data: bytes) -> None:
        """Keeps a piece of the agent's log within its cap; bytes, split and escaped when the guest is done."""
        room = self.agent.spec.limits.log_bytes - self.log_bytes
        if room <= 0:
            self.logs_dropped += 1
            return
        kept = data[:room]
        self.log_bytes += max(len(kept), 1)
        at = self.source.now_us() / 1e6 if self.source else time.time()
        self.logs.append(LogLine(at, stream, escape(kept)))


_INVISIBLE: Final = (
    *(0x00AD, 0x061C, 0x180E, 0xFEFF),
    *(*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), *range(0xFFF9, 0xFFFC)),
    *range(0xE0000, 0xE0080),
)
"""Marks that turn or hide the text around them, tags, and line ends that are no control characters."""
_CONTROL: Final = (
    {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {code: f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}" for code in _INVISIBLE}
    | {9: "\t"}
)


def escape(data: bytes) -> str:
    """Guest bytes as one line of text: control characters, marks that turn text and invalid UTF-8 become escapes."""
    text = data.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.translate(_CONTROL)
