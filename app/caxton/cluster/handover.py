"""How a home moves from one node to another, as pure functions of what each has on disk and of what it is asked.

Owns every decision of the protocol: never two homes, never none for good, whatever is lost, repeated, late or out
of order, and wherever either end dies. Must never send, write or wait: `router.cluster.handover*` does, and writes
what is decided here before it answers.

The old home X and the new home Y, one attempt:

    X runs the agent              begin, pages, finish  →   Y: RECEIVING, then READY
    X: HANDED, runs it no more    commit                →   Y: COMMITTED, the home, with the next epoch
    X: GIVEN, forwards its mail   emptied               →   Y runs it

Only X decides: Y never commits unasked. X asks only after it has stopped for good (HANDED), and goes on only when Y
has said, durably, that this attempt will never be (REFUSED). Attempts are numbered; a late call of an earlier one
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from caxton.protocol.handover import HandoverCall, HandoverRow, Side, Step, Verdict

ADOPTION: Final = 1_000
"""How much an operator's `adopt` raises the epoch. A hand-over raises it by one, so one that is under way out of
sight of the operator loses against it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the new home says, and its row as it is to be written first; None: nothing changes."""

    verdict: Verdict
    row: HandoverRow | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """What the new home knows of the agent: its row, the epoch of its record (0: none), and whether it may decide."""

    row: HandoverRow | None
    epoch: int
    majority: bool
    now: float = 0.0

    @property
    def attempt(self) -> int:
        """The highest attempt that is known here."""
        return 0 if self.row is None else self.row.attempt

    def begin(self, call: HandoverCall) -> Answer:
        """A new attempt takes the place of an earlier one, with everything that came for that."""
        if call.epoch <= self.epoch or (self.row is not None and self.row.step is Step.COMMITTED):
            return Answer(Verdict.NOT_YOURS)
        if not self.majority:
            return Answer(Verdict.NOT_NOW)
        if call.attempt <= self.attempt:
            return Answer(Verdict.STALE)
        return Answer(Verdict.TAKEN, self._row(call, Step.RECEIVING))

    def page(self, attempt: int) -> Verdict:
        """Whether a page of this attempt is wanted."""
        row = self.row
        wanted = row is not None and row.step is Step.RECEIVING and row.attempt == attempt
        return Verdict.TAKEN if wanted else Verdict.STALE

    def finish(self, call: HandoverCall, *, complete: bool) -> Answer:
        """Everything is here, if `complete`."""
        row = self.row
        if row is not None and row.attempt == call.attempt and row.step is Step.READY:
            return Answer(Verdict.TAKEN)
        if self.page(call.attempt) is not Verdict.TAKEN or not complete:
            return Answer(Verdict.STALE)
        return Answer(Verdict.TAKEN, self._row(call, Step.READY))

    def commit(self, call: HandoverCall) -> Answer:
        """The old home has stopped for good: this node is the home from now on, or says that it will never be."""
        row = self.row
        if row is not None and row.attempt == call.attempt and row.step is Step.COMMITTED:
            return Answer(Verdict.NOT_YOURS)
        if self.epoch >= call.epoch:
            return Answer(Verdict.NOT_YOURS)
        if row is None or row.attempt != call.attempt or row.step is not Step.READY:
            return self._never(call)
        if not self.majority:
            return Answer(Verdict.NOT_NOW)
        return Answer(Verdict.NOT_YOURS, msgspec.structs.replace(row, step=Step.COMMITTED, at=self.now))

    def abort(self, call: HandoverCall) -> Answer:
        """The old home would rather keep it."""
        row = self.row
        if self.epoch >= call.epoch or (
            row is not None and row.attempt == call.attempt and row.step is Step.COMMITTED
        ):
            return Answer(Verdict.NOT_YOURS)
        return self._never(call)

    def emptied(self, call: HandoverCall) -> bool:
        """Nothing waits at the old home any more: whether that was what this node waited for."""
        row = self.row
        return row is not None and row.step is Step.COMMITTED and row.attempt == call.attempt

    def _never(self, call: HandoverCall) -> Answer:
        row = self.row
        if row is not None and (row.attempt > call.attempt or row.step in (Step.COMMITTED, Step.REFUSED)):
            kept = row.step is Step.REFUSED and row.attempt < call.attempt
            return Answer(Verdict.NEVER, self._row(call, Step.REFUSED) if kept else None)
        return Answer(Verdict.NEVER, self._row(call, Step.REFUSED))

    def _row(self, call: HandoverCall, step: Step) -> HandoverRow:
        return HandoverRow(
            agent=call.agent,
            side=Side.IN,
            peer=call.origin,
            epoch=call.epoch,
            attempt=call.attempt,
            step=step,
            at=self.now,
        )


class Next(StrEnum):
    """What the old home does after an answer."""

    GIVE = "give"
    """The other is the home: write GIVEN."""
    KEEP = "keep"
    """The other never will be: delete the row, run the agent again."""
    ASK = "ask"
    """Nothing is known: ask again."""


def heard(verdict: Verdict | None) -> Next:
    """What the old home, HANDED, does after an answer to commit or abort; None: there was none."""
    if verdict is Verdict.NOT_YOURS:
        return Next.GIVE
    return Next.KEEP if verdict is Verdict.NEVER else Next.ASK


def next_attempt(now: float, *seen: int) -> int:
    """A number above every one that was ever seen; `now` in seconds makes it so across restarts."""
    return max(int(now * 1_000_000), *(number + 1 for number in seen), 1)


class Place(StrEnum):
    """What a node does with an agent that has durable state."""

    RUN = "run"
    WAIT = "wait"
    """It is the home, and the last mail of the old one is still to come."""
    HELD = "held"
    """It was, and has handed it over to somebody who has not answered yet."""
    AWAY = "away"


def place(node: str, home: str | None, epoch: int, out: HandoverRow | None, inward: HandoverRow | None) -> Place:
    """What `node` does with an agent whose record says `home` and `epoch`, by its own rows.

    A row of a lower epoch than the record's is history.
    """
    if home != node:
        return Place.AWAY
    if out is not None and out.epoch > epoch:
        return Place.HELD if out.step is Step.HANDED else Place.AWAY
    if inward is not None and inward.step is Step.COMMITTED and inward.epoch == epoch:
        return Place.WAIT
    return Place.RUN
