"""What the router holds in memory about each agent that takes messages, and about each execution.

Owns the shared records of the hot half (`Box`, `Flight`, `Worker`, `Boxes`) and the sums over them. Must
never decide anything: intake, scheduler, settling and host calls do.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from caxton.config import Config
from caxton.protocol.agents import Instance
from caxton.protocol.execution import AgentSpec, Result, WorkerStats
from caxton.protocol.messages import Message
from caxton.router.access.accounts import Account, Accounts
from caxton.router.agents import Agent, exchange_versions
from caxton.router.elsewhere import Elsewhere
from caxton.router.links import WorkerLink
from caxton.router.mailbox import MAIN, SIDE, Entry, Mailbox
from caxton.router.versions.gauge import Gauge
from caxton.store import ExecutionRow

FOLLOWERS = 7
"""Messages that may wait in the worker behind the one that a quick agent handles: they cross over together."""
_OF_A_VERSION = ("spec", "handle", "running", "worker", "resident", "used_at", "quick", "floor", "idle", "gone")
_BOOT: Final = secrets.token_hex(6)  # makes numbers of executions unique across restarts
RECENT_EXECUTIONS = 20  # kept per agent between two flushes; older ones are not worth a row


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process as the router sees it. `tag`: for whom, see `quarters`."""

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
    busy_at: float = field(default_factory=time.monotonic)
    """When it was last seen with something to do, by CLOCK_MONOTONIC."""
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

    @property
    def home(self) -> Box:
        """The box that has the mailbox; `box` is the one whose version runs."""
        return self.box.home


def execution_id(flight: Flight) -> str:
    """The public id of an execution: unique across restarts of the router."""
    return f"{_BOOT}-{flight.exec_id:x}"


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

    While another version of the agent runs too (a candidate, or an old one at its end), that one has a box of
    its own among the `sides`, for what it runs only: the mailbox is shared, and counts of messages are here.
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
    memory_of: int = 0
    """Handle of the version whose instance has the memory of the last commit (of an agent with snapshots)."""
    side_of: Box | None = None
    """The box with the mailbox, when this is the one of another version."""
    sides: list[Box] = field(default_factory=list)
    parked: bool = False
    """It waits for a worker."""
    gauge: Gauge | None = None
    """Measures this version while it is compared with another."""
    account: Account | None = None
    """Its namespace's."""
    adrift: bool = False
    """It waits for the end of a partition: the other side may run it."""
    held: bool = False
    """Its home moves, or may have moved: it takes messages and runs none."""

    @property
    def home(self) -> Box:
        """The box that has the mailbox."""
        return self.side_of or self

    @property
    def lane(self) -> int:
        """Which conversations this version gets, once the mailbox is split."""
        return MAIN if self.side_of is None else SIDE

    @property
    def can_run(self) -> bool:
        """Whether an execution of this agent may start now."""
        if (
            not (self.open and self.mailbox.ready_in(self.lane))
            or self.home.adrift
            or self.home.held
            or (self.account is not None and self.account.held)
        ):
            return False
        if (self.sides or self.side_of is not None) and not self._has_its_turn():
            return False
        gate = self.home.gate
        if gate is not None:
            return gate.is_open and not any(box.running for box in (self.home, *self.home.sides))
        return len(self.running) < self.agent.max_concurrency or (self.quick and self._may_follow())

    def first(self) -> Flight | None:
        """The execution that has the persistent instance; the others are queued behind it in the worker."""
        return next(iter(self.running.values()), None)

    def followers(self) -> list[Flight]:
        """The executions of a persistent agent that wait in the worker behind the one that has the instance."""
        return list(self.running.values())[1:] if self.agent.instance is Instance.PERSISTENT else []

    def in_the_way(self) -> list[Flight]:
        """What other versions do now, if this agent handles one message at a time: this one waits for its end."""
        others = self._others()
        return [flight for other in others for flight in other.running.values() if flight.entry is not None]

    def _others(self) -> list[Box]:
        """The versions with which this one takes turns; none where messages are handled side by side."""
        family = (self.home, *self.home.sides)
        if all(box.agent.max_concurrency > 1 for box in family):
            return []
        return [box for box in family if box is not self]

    def _has_its_turn(self) -> bool:
        if self.in_the_way():
            return False
        waiting = (box for box in self._others() if box.open and not box.parked and box.mailbox.ready_in(box.lane))
        return all(self.used_at <= box.used_at for box in waiting)

    def _may_follow(self) -> bool:
        """Whether the next message may be sent right behind those in the worker, to wait there.

        Only behind one that neither sleeps nor is likely to take long, and none with a deadline: what is
        sent cannot expire any more. `take` gives messages of other conversations only.
        """
        first = self.first()
        following = self.mailbox.peek(self.lane)
        return (
            0 < len(self.running) <= FOLLOWERS
            and first is not None
            and not first.sleeping
            and following is not None
            and following.reply_by is None
        )

    def serving(self, conversation_id: str) -> Box:
        """The box of the version that gets this conversation's messages."""
        lane = self.mailbox.lane(conversation_id)
        return next((side for side in self.sides if side.open and side.lane == lane), self)

    def flight(self, exec_id: int) -> Flight | None:
        """The execution of one of this mailbox's messages, by whichever version."""
        boxes = (self, *self.sides) if self.sides else (self,)
        return next((found for box in boxes if (found := box.running.get(exec_id)) is not None), None)

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
        self.accounts = Accounts()
        self.live: dict[str, Entry] = {}
        """Every message that is not durably settled yet."""
        self.generation = 0
        """Grows whenever an agent comes, goes, or is of another version now."""
        self.queued = 0
        self.queued_bytes = 0
        self._body_budget = body_budget_bytes
        self._bodies = 0
        self.elsewhere: Elsewhere | None = None
        """None: the node is alone, and every agent lives here or nowhere."""

    def __iter__(self) -> Iterator[Box]:
        return iter(list(self._boxes.values()))

    def versions(self) -> Iterator[Box]:
        """The box of every version that may run something: each agent's, and those at its side."""
        for box in self:
            yield box
            yield from list(box.sides)

    def get(self, name: str) -> Box | None:
        """The agent's box, or None."""
        return self._boxes.get(name)

    def add(self, agent: Agent, spec: AgentSpec) -> Box:
        """A closed box for an agent."""
        if self.elsewhere is not None:
            self.elsewhere.let_go(agent.name)
        box = Box(agent, spec, 0, account=self.accounts.of(agent.name))
        box.idle.set()
        self._boxes[agent.name] = box
        self.generation += 1
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

    def add_side(self, home: Box, agent: Agent, spec: AgentSpec) -> Box:
        """A closed box for another version of the agent, on the same mailbox."""
        side = Box(agent, spec, self.new_handle(), home.mailbox, side_of=home, account=home.account)
        side.idle.set()
        home.sides.append(side)
        self._by_handle[side.handle] = side
        return side

    def drop_side(self, side: Box) -> None:
        """Forgets a version's box; nothing of it may run any more."""
        home = side.side_of
        self._by_handle.pop(side.handle, None)
        if home is not None and side in home.sides:
            home.sides.remove(side)

    def exchange(self, home: Box, side: Box) -> None:
        """The side's version becomes the agent's, and the agent's goes to the side, each with what it runs."""
        exchange_versions(home.agent, side.agent)
        self.generation += 1
        for name in _OF_A_VERSION:
            mine, other = getattr(home, name), getattr(side, name)
            setattr(home, name, other)
            setattr(side, name, mine)
        for box in (home, side):
            self._by_handle[box.handle] = box
            for flight in box.running.values():
                flight.box = box

    def by_handle(self, handle: int) -> Box | None:
        """The box that has this handle now."""
        return self._by_handle.get(handle)

    def drop(self, name: str) -> None:
        """Forgets a box and its messages; what is on disk stays there."""
        self.generation += 1
        box = self._boxes.pop(name, None)
        if box is None:
            return
        for each in (box, *box.sides):
            self._by_handle.pop(each.handle, None)
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
