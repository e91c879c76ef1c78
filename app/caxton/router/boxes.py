"""What the router holds in memory about each agent that takes messages, and about each execution.

Owns the shared records of the hot half (`Box`, `Flight`, `Worker`, `Boxes`) and the sums over them. Must
never decide anything: intake, scheduler, settling and host calls do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from caxton.config import Config
from caxton.protocol.agents import Instance
from caxton.protocol.execution import AgentSpec, Result, WorkerStats
from caxton.protocol.messages import Message
from caxton.router.agents import Agent
from caxton.router.links import WorkerLink
from caxton.router.mailbox import Entry, Mailbox
from caxton.store import ExecutionRow

FOLLOWERS = 7
"""Messages that may wait in the worker behind the one that a quick agent handles: they cross over together."""
RECENT_EXECUTIONS = 20  # kept per agent between two flushes; older ones are not worth a row


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process as the router sees it. `tag` "" = the standing pool, else the agent it is for."""

    worker_id: int
    pid: int
    tag: str
    version: str = ""
    link: WorkerLink | None = None
    usable: bool = True
    loaded: set[int] = field(default_factory=set)
    flights: dict[int, Flight] = field(default_factory=dict)
    pinned: int = 0
    stats: WorkerStats | None = None
    baseline_bytes: int = 1 << 62
    """Its `own_bytes` after its warm-up; see `recycling`."""
    leaving: str = ""
    """`replacing` (another is being started), `draining` (its last executions end), `drained`."""
    down: tuple[str, int | None] | None = None
    """Reason and culprit, once the supervisor has told."""


@dataclass(slots=True, eq=False)
class Flight:
    """One execution on a worker. `entry` is None for a start; `waits_for` is the message of its `request`."""

    exec_id: int
    box: Box
    entry: Entry | None
    worker: Worker
    incarnation: int
    """The number of a fresh instance, should the worker have to start one for it."""
    dispatched_at: float
    reply_to: Message | None = None
    sleeping: bool = False
    waits_for: str | None = None
    started: asyncio.Future[Result] | None = None


@dataclass(slots=True, eq=False)
class Gate:
    """Keeps an agent from running; see `supervision`. `pause`, `until` in seconds (since the epoch).

    Half-open it lets one message through, the `probe`.
    """

    pause: float
    until: float = 0.0
    half_open: bool = False
    probe: Entry | None = None
    starts_in_vain: int = 0
    timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a message may start now."""
        return self.half_open and self.probe is None


@dataclass(slots=True, eq=False)
class Box:
    """One agent's mailbox and everything that happens to it in this process.

    `reserved` counts messages that are being committed and are not in the mailbox yet; `settling` those
    that have left it and whose end is being committed.
    """

    agent: Agent
    spec: AgentSpec
    handle: int
    mailbox: Mailbox = field(default_factory=Mailbox)
    open: bool = False
    running: dict[int, Flight] = field(default_factory=dict)
    worker: Worker | None = None
    queued: bool = False
    reserved: int = 0
    settling: int = 0
    unsaved: int = 0
    """Ephemeral messages accepted and not settled yet: nothing of them is on disk."""
    full: bool = False
    resident: bool = False
    used_at: float = 0.0
    """When its last execution was started, seconds since the epoch."""
    quick: bool = False
    """A persistent agent whose last execution was over in no time."""
    floor: int = 0
    """No fresh instance may get this incarnation or an earlier one."""
    alarm: asyncio.TimerHandle | None = None
    gate: Gate | None = None
    """Set while the agent is quarantined or does not start."""
    recent: deque[ExecutionRow] = field(default_factory=lambda: deque(maxlen=RECENT_EXECUTIONS))
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a worker has said that the resident instance ended."""

    @property
    def can_run(self) -> bool:
        """Whether an execution of this agent may start now."""
        if not (self.open and self.mailbox.has_ready):
            return False
        if self.gate is not None:
            return self.gate.is_open and not self.running
        return len(self.running) < self.agent.max_concurrency or (self.quick and self._may_follow())

    def first(self) -> Flight | None:
        """The execution that has the persistent instance; the others are queued behind it in the worker."""
        return next(iter(self.running.values()), None)

    def followers(self) -> list[Flight]:
        """The executions of a persistent agent that wait in the worker behind the one that has the instance."""
        return list(self.running.values())[1:] if self.agent.instance is Instance.PERSISTENT else []

    def _may_follow(self) -> bool:
        """Whether the next message may be sent right behind those in the worker, to wait there.

        Only behind one that neither sleeps nor is likely to take long, and none with a deadline: what is
        sent cannot expire any more. `take` gives messages of other conversations only.
        """
        first = self.first()
        following = self.mailbox.peek()
        return (
            0 < len(self.running) <= FOLLOWERS
            and first is not None
            and not first.sleeping
            and following is not None
            and following.reply_by is None
        )

    @property
    def load(self) -> int:
        """Messages that count against the mailbox's bound."""
        return self.mailbox.count + self.reserved


class Boxes:
    """Boxes by agent, live messages by id, and the sums that the node's bounds are about."""

    def __init__(self, config: Config, body_budget_bytes: int) -> None:
        self.config = config
        """In force now; replaced as a whole when the node re-reads its configuration."""
        self._boxes: dict[str, Box] = {}
        self._by_handle: dict[int, Box] = {}
        self._handles = count(1)
        self.live: dict[str, Entry] = {}
        """Every message that is not durably settled yet."""
        self.queued = 0
        self.queued_bytes = 0
        self._body_budget = body_budget_bytes
        self._bodies = 0

    def __iter__(self) -> Iterator[Box]:
        return iter(list(self._boxes.values()))

    def get(self, name: str) -> Box | None:
        """The agent's box, or None."""
        return self._boxes.get(name)

    def add(self, agent: Agent, spec: AgentSpec) -> Box:
        """A closed box for an agent."""
        box = Box(agent, spec, 0)
        box.idle.set()
        self._boxes[agent.name] = box
        self.renumber(box)
        return box

    def renumber(self, box: Box) -> None:
        """Gives the agent a handle that no worker has ever seen."""
        self._by_handle.pop(box.handle, None)
        box.handle = self.new_handle()
        self._by_handle[box.handle] = box

    def new_handle(self) -> int:
        """A handle that no worker has ever seen."""
        return next(self._handles)

    def by_handle(self, handle: int) -> Box | None:
        """The box that has this handle now."""
        return self._by_handle.get(handle)

    def drop(self, name: str) -> None:
        """Forgets a box and its messages; what is on disk stays there."""
        box = self._boxes.pop(name, None)
        if box is None:
            return
        self._by_handle.pop(box.handle, None)
        for entry in box.mailbox.entries():
            self.forget(entry)
        if box.alarm is not None:
            box.alarm.cancel()
        if box.gate is not None and box.gate.timer is not None:
            box.gate.timer.cancel()

    def remember(self, entry: Entry) -> None:
        """A message is live from now on. Over the budget its body is let go; disk has it (or will)."""
        self.live[entry.message_id] = entry
        self.queued += 1
        self.queued_bytes += entry.size
        if self._bodies + entry.size > self._body_budget and entry.delivery != "ephemeral":
            entry.message = None
        elif entry.message is not None:
            self._bodies += entry.size

    def forget(self, entry: Entry) -> None:
        """A message is durably settled, or never was accepted."""
        if self.live.get(entry.message_id) is not entry:
            return
        del self.live[entry.message_id]
        self.queued -= 1
        self.queued_bytes -= entry.size
        if entry.message is not None:
            self._bodies -= entry.size
