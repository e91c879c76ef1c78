"""What happens in memory once a turn's changes are durable.

Owns the order of effects behind a commit: messages become schedulable, ends are told to those who wait.
Must never let anything out before the commit that carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from caxton.protocol.errors import Code
from caxton.protocol.messages import Outcome, State
from caxton.router.boxes import Box, Boxes
from caxton.router.commits import Commits
from caxton.router.mailbox import Entry
from caxton.router.pressure import Pressures
from caxton.router.tracing import spans
from caxton.router.waiters import Waiters
from caxton.store import CommitResult

_FAILED = Outcome(
    State.DEAD, code=Code.INTERNAL_ERROR, detail="the node could not write to its disk and is restarting"
)


@dataclass(slots=True)
class _Turn:
    arrivals: list[tuple[Box, Entry]] = field(default_factory=list)
    finished: list[tuple[Box, Entry, Outcome]] = field(default_factory=list)
    calls: list[Callable[[], None]] = field(default_factory=list)


class Aftermath:
    """Collects for one commit, applies after it. `wake(box)` is called for boxes that got messages."""

    def __init__(
        self, boxes: Boxes, commits: Commits, waiters: Waiters, pressure: Pressures, wake: Callable[[Box], None]
    ) -> None:
        self._boxes = boxes
        self._commits = commits
        self.waiters = waiters
        self._pressure = pressure
        self._wake = wake
        self._turn: _Turn | None = None

    def arrive(self, box: Box, entry: Entry) -> None:
        """An accepted message: in the mailbox once it is durable, forgotten should its id be known already."""
        box.reserved += 1
        self._boxes.remember(entry)
        self._open().arrivals.append((box, entry))

    def finish(self, box: Box, entry: Entry, outcome: Outcome) -> None:
        """A message that has left its mailbox: whoever waits is told once its end is durable."""
        box.settling += 1
        self._open().finished.append((box, entry, outcome))

    def call(self, callback: Callable[[], None]) -> None:
        """Calls back when this turn's changes are durable; not when they failed."""
        self._open().calls.append(callback)

    def tell(self, entry: Entry, outcome: Outcome) -> None:
        """The end of a message that leaves no trace on disk: told at once."""
        self._boxes.forget(entry)
        self.waiters.settle(entry.message_id, outcome)

    def _open(self) -> _Turn:
        turn = self._turn
        if turn is None:
            turn = self._turn = _Turn()
            self._commits.after(lambda result: self._apply(turn, result))
            self._commits.at_hand_over(self._close)
        return turn

    def _close(self) -> None:
        self._turn = None

    def _apply(self, turn: _Turn, result: CommitResult) -> None:
        if result.error is not None:
            self.waiters.fail_all(_FAILED)
            return
        duplicates, boxes = result.duplicates, self._boxes
        for box, entry in turn.arrivals:
            box.reserved -= 1
            if entry.message_id in duplicates or boxes.get(entry.agent) is not box:
                boxes.forget(entry)
                if entry.message_id not in duplicates and boxes.elsewhere is not None:
                    boxes.elsewhere.take_over(entry)  # its agent went meanwhile
                continue
            box.mailbox.put(entry)
            spans.sent(entry)
            self._wake(box)
        for box, entry, outcome in turn.finished:
            box.settling -= 1
            boxes.forget(entry)
            self._pressure.shrunk(box)
            self.waiters.settle(entry.message_id, outcome)
        for callback in turn.calls:
            callback()
