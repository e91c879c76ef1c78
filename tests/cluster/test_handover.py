"""The hand-over's protocol, simulated: three nodes, calls that are lost, repeated, late and out of order, crashes.

Whatever happens: never two homes, nothing lost, nothing handled twice, what one node accepted in its order; and once
the trouble is over, one home.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from caxton.cluster.handover import ADOPTION, Next, Place, Receiver, heard, next_attempt, place
from caxton.protocol.handover import HandoverCall, HandoverRow, Side, Step, Verdict

NODES = ("x", "y", "z")
AGENT = "r"
node = st.sampled_from(NODES)
TROUBLE = ("crash", "boot", "boot", "give_up", "lose", "majority", "gossip", "gossip")


@dataclass
class Disk:
    """What a crash leaves."""

    home: str | None = None
    epoch: int = 1
    out: HandoverRow | None = None
    inward: HandoverRow | None = None
    waiting: list[str] = field(default_factory=list)
    """Messages for the agent: its mailbox while it is at home here, else the outbox."""
    done: list[str] = field(default_factory=list)
    """The agent's state: what it has handled, as its keys would tell."""
    arrived: list[str] | None = None


@dataclass
class Memory:
    """What a crash takes."""

    up: bool = True
    running: bool = False
    moving: tuple[str, int] | None = None
    majority: bool = True
    seen: int = 0


@dataclass(frozen=True)
class Sent:
    """One call or its answer on the wire; it may arrive any number of times."""

    kind: str
    to: str
    call: HandoverCall
    state: tuple[str, ...] = ()
    verdict: Verdict | None = None
    attempt: int = 0


class Handing(RuleBasedStateMachine):
    """The nodes act by the functions under test; everything else here is the network and the power supply."""

    def __init__(self) -> None:
        super().__init__()
        self.disks = {name: Disk(home="x") for name in NODES}
        self.memories = {name: Memory() for name in NODES}
        self.wire: list[Sent] = []
        self.accepted: dict[str, list[str]] = {name: [] for name in NODES}
        self.handled: list[str] = []
        self.orders: dict[str, dict[str, int]] = {name: {} for name in NODES}
        self.clock = 0
        self.adopted = False

    @initialize()
    def up(self) -> None:
        for name in NODES:
            self._settle(name)

    # ---- what happens ---------------------------------------------------------------------------

    @rule(at=node, what=st.sampled_from(["accept", "accept", "handle", "forward"]))
    def mail(self, at: str, what: str) -> None:
        {"accept": self.accept, "handle": self.handle, "forward": self.forward}[what](at)

    @rule(
        at=node,
        to=node,
        what=st.sampled_from(["crash", "boot", "boot", "give_up", "lose", "majority", "gossip", "gossip"]),
    )
    def trouble(self, at: str, to: str, what: str) -> None:
        if what == "gossip":
            self.gossip(at, to)
        else:
            {
                "crash": self.crash,
                "boot": self.boot,
                "give_up": self.give_up,
                "lose": self.lose,
                "majority": self.majority,
            }[what](at)

    def accept(self, at: str) -> None:
        if self.memories[at].up:
            message = f"{at}{len(self.accepted[at])}"
            self.accepted[at].append(message)
            self.disks[at].waiting.append(message)
            self._rank(at, message)

    def handle(self, at: str) -> None:
        disk, memory = self.disks[at], self.memories[at]
        if memory.running and memory.moving is None and disk.waiting:
            message = disk.waiting.pop(0)
            assert message not in disk.done, "handled twice"
            disk.done.append(message)
            self.handled.append(message)

    def forward(self, at: str) -> None:
        disk, memory = self.disks[at], self.memories[at]
        if not memory.up or disk.home in (None, at) or not disk.waiting:
            return
        home = disk.home
        assert home is not None
        there = self.disks[home]
        if not self.memories[home].up or there.home != home:
            return
        waits = self._place(home) is Place.WAIT
        if waits and (there.inward is None or there.inward.peer != at):
            return  # only the old home's mail comes in before the agent runs here
        message = disk.waiting.pop(0)
        if message not in there.done and message not in there.waiting:
            there.waiting.append(message)
        there.waiting.sort(key=lambda one: self._rank(home, one))

    @rule(at=st.just("x") | node, to=node)
    def hand_over(self, at: str, to: str) -> None:
        disk, memory = self.disks[at], self.memories[at]
        if at == to or not memory.running or memory.moving or disk.out is not None:
            return
        self.clock += 1
        attempt = next_attempt(0.0, memory.seen, self.clock)
        memory.moving = (to, attempt)
        self._send("begin", to, at, disk.epoch + 1, attempt)

    def give_up(self, at: str) -> None:
        """A timeout, before it was handed."""
        memory = self.memories[at]
        if memory.moving is not None:
            memory.moving = None

    @rule(at=node, kind=st.sampled_from(["commit", "commit", "abort", "emptied"]))
    def ask(self, at: str, kind: str) -> None:
        disk = self.disks[at]
        if not self.memories[at].up or disk.out is None:
            return
        handed = disk.out.step is Step.HANDED
        if (kind == "emptied") is handed or (kind == "emptied" and disk.waiting):
            return
        self._send(kind, disk.out.peer, at, disk.out.epoch, disk.out.attempt)

    @rule(back=st.sampled_from([0, 0, 0, 1, 2, 5, 9]), again=st.booleans())
    def arrive(self, back: int, again: bool) -> None:
        """Mostly the newest, sometimes an old one."""
        if self.wire:
            sent = self.wire[-1 - back % len(self.wire)]
            if not again:
                self.wire.remove(sent)
            self._arrived(sent)

    def lose(self, _at: str) -> None:
        if self.wire:
            self.wire.pop()

    def crash(self, at: str) -> None:
        self.memories[at] = Memory(up=False)

    def boot(self, at: str) -> None:
        if not self.memories[at].up:
            self.memories[at] = Memory()
            self._settle(at)

    def majority(self, at: str) -> None:
        self.memories[at].majority = not self.memories[at].majority

    def gossip(self, at: str, to: str) -> None:
        if self.memories[at].up and self.memories[to].up and self.disks[at].epoch > self.disks[to].epoch:
            self.disks[to].home, self.disks[to].epoch = self.disks[at].home, self.disks[at].epoch
            self._settle(to)

    # ---- what the nodes do ----------------------------------------------------------------------

    def _send(self, kind: str, to: str, at: str, epoch: int, attempt: int, state: tuple[str, ...] = ()) -> None:
        sent = Sent(kind, to, HandoverCall(AGENT, epoch, attempt, at), state)
        if sent not in self.wire:
            self.wire.append(sent)

    def _arrived(self, sent: Sent) -> None:
        if not self.memories[sent.to].up:
            return
        if sent.verdict is not None:
            self._answered(sent)
            return
        disk = self.disks[sent.to]
        receiver = Receiver(disk.inward, disk.epoch, self.memories[sent.to].majority)
        verdict, row = self._decide(receiver, sent)
        if row is not None:
            disk.inward = row
            if row.step is Step.READY:
                disk.arrived = list(sent.state)
            elif row.step is Step.COMMITTED:
                disk.done = disk.arrived or []
                disk.home, disk.epoch = sent.to, row.epoch
                disk.out = None
                disk.waiting = [message for message in disk.waiting if message not in disk.done]
        self._settle(sent.to)
        answer = Sent(sent.kind, sent.call.origin, sent.call, (), verdict, receiver.attempt)
        if answer in self.wire:
            self.wire.remove(answer)
        self.wire.append(answer)

    def _decide(self, receiver: Receiver, sent: Sent) -> tuple[Verdict, HandoverRow | None]:
        call = sent.call
        if sent.kind == "emptied":
            row = receiver.row
            if receiver.emptied(call) and row is not None:
                disk = self.disks[sent.to]
                disk.inward = None
            return Verdict.TAKEN, None
        made: dict[str, Any] = {"begin": receiver.begin, "commit": receiver.commit, "abort": receiver.abort}
        answer = receiver.finish(call, complete=True) if sent.kind == "finish" else made[sent.kind](call)
        return answer.verdict, answer.row

    def _answered(self, sent: Sent) -> None:
        at, call, verdict = sent.to, sent.call, sent.verdict
        disk, memory = self.disks[at], self.memories[at]
        memory.seen = max(memory.seen, sent.attempt)
        moving = memory.moving is not None and memory.moving[1] == call.attempt
        if sent.kind in ("begin", "finish") and moving and memory.running:
            self._went_on(sent, disk, memory)
        elif sent.kind in ("commit", "abort"):
            row = disk.out
            if row is not None and row.step is Step.HANDED and row.attempt == call.attempt:
                follows = heard(verdict)
                if follows is Next.KEEP:
                    disk.out = None
                elif follows is Next.GIVE:
                    disk.out = msgspec.structs.replace(row, step=Step.GIVEN)
                    disk.done = []
        elif sent.kind == "emptied" and disk.out is not None and disk.out.attempt == call.attempt:
            if not disk.waiting:
                disk.out = None
            disk.home, disk.epoch = max((disk.epoch, disk.home), (call.epoch, self._home(call.epoch)))[::-1]
        self._settle(at)

    def _went_on(self, sent: Sent, disk: Disk, memory: Memory) -> None:
        call = sent.call
        assert memory.moving is not None
        to, attempt = memory.moving
        if sent.verdict is not Verdict.TAKEN:
            memory.moving = None
        elif sent.kind == "begin":
            self._send("finish", to, sent.to, call.epoch, attempt, tuple(disk.done))
        else:
            disk.out = HandoverRow(
                agent=AGENT, side=Side.OUT, peer=to, epoch=call.epoch, attempt=attempt, step=Step.HANDED, at=0.0
            )
            memory.moving = None

    def _rank(self, at: str, message: str) -> int:
        """What `at` had accepted itself goes on in its old place in the database; the rest comes in as it comes."""
        order = self.orders[at]
        return order.setdefault(message, len(order))

    def _home(self, epoch: int) -> str | None:
        return next((disk.home for disk in self.disks.values() if disk.epoch == epoch), None)

    def _place(self, at: str) -> Place:
        disk = self.disks[at]
        return place(at, disk.home, disk.epoch, disk.out, disk.inward)

    def _settle(self, at: str) -> None:
        memory = self.memories[at]
        memory.running = memory.up and self._place(at) is Place.RUN
        if not memory.running:
            memory.moving = None

    # ---- what must hold -------------------------------------------------------------------------

    @invariant()
    def never_two_homes(self) -> None:
        assert sum(memory.running for memory in self.memories.values()) <= 1

    @invariant()
    def nothing_twice(self) -> None:
        assert len(self.handled) == len(set(self.handled))

    def teardown(self) -> None:
        for name in NODES:
            self.memories[name].majority = True
            self.boot(name)
            self.give_up(name)
        for _ in range(40):
            for name in NODES:
                for kind in ("commit", "emptied"):
                    self.ask(name, kind)
            wire, self.wire = self.wire, []
            for sent in wire:
                self._arrived(sent)
            for name in NODES:
                for other in NODES:
                    self.gossip(name, other)
            for name in NODES:
                for _ in range(20):
                    self.forward(name)
                    self.handle(name)
        assert sum(memory.running for memory in self.memories.values()) == 1
        accepted = [message for messages in self.accepted.values() for message in messages]
        assert sorted(self.handled) == sorted(accepted), "nothing is lost"
        for name, messages in self.accepted.items():
            assert [message for message in self.handled if message[0] == name] == messages, f"order at {name}"


Handing.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestHanding = Handing.TestCase


def test_an_adoption_wins_against_a_hand_over_that_the_operator_could_not_see() -> None:
    handed = HandoverRow(agent=AGENT, side=Side.OUT, peer="y", epoch=2, attempt=1, step=Step.HANDED, at=0.0)
    ready = msgspec.structs.replace(handed, side=Side.IN, peer="x", step=Step.READY)
    call = HandoverCall(AGENT, 2, 1, "x")
    knowing = Receiver(ready, 1 + ADOPTION, True).commit(call)
    assert knowing.verdict is Verdict.NOT_YOURS
    assert knowing.row is None
    assert heard(knowing.verdict) is Next.GIVE
    assert place("x", "z", 1 + ADOPTION, handed, None) is Place.AWAY
    committed = msgspec.structs.replace(ready, step=Step.COMMITTED)
    assert place("y", "z", 1 + ADOPTION, None, committed) is Place.AWAY


def test_a_minority_commits_nothing_and_can_still_let_go() -> None:
    ready = HandoverRow(agent=AGENT, side=Side.IN, peer="x", epoch=2, attempt=7, step=Step.READY, at=0.0)
    call = HandoverCall(AGENT, 2, 7, "x")
    assert Receiver(ready, 1, False).commit(call).verdict is Verdict.NOT_NOW
    let_go = Receiver(ready, 1, False).abort(call)
    assert let_go.verdict is Verdict.NEVER
    assert let_go.row is not None
    assert Receiver(let_go.row, 1, True).commit(call).verdict is Verdict.NEVER
    assert Receiver(let_go.row, 1, True).begin(call).verdict is Verdict.STALE
