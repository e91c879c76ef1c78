"""Conversations that wait until somebody decides about a dead letter (`retry.on_dead = "hold"`).

Owns which conversations those are, in memory and on disk. Must never end a message: it only keeps those behind a dead
letter from being started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from caxton.router.boxes import Box, Boxes
from caxton.router.commits import Commits
from caxton.router.mailbox import Entry
from caxton.store import Changes, Held
from caxton.store.reader import Reader

HOLD = "hold"


class Holds:
    """`wake(box)` is called when messages of a conversation may run again."""

    def __init__(self, boxes: Boxes, commits: Commits, reader: Reader, wake: Callable[[Box], None]) -> None:
        self._boxes = boxes
        self._commits = commits
        self._reader = reader
        self._wake = wake

    def died(self, box: Box, entry: Entry) -> None:
        """A message becomes a dead letter with this turn's commit; its conversation waits if the agent wants that."""
        if box.agent.config.retry.on_dead != HOLD:
            return
        box.mailbox.hold(entry.conversation_id)
        self._commits.changes.holds.append(Held(box.agent.name, entry.conversation_id, entry.message_id, time.time()))

    def restore(self, boxes: Mapping[str, Box], only: str | None) -> None:
        """Mailboxes (or that of the agent `only`) are about to be filled from disk."""
        for row in self._reader.held(only):
            if (box := boxes.get(row.agent)) is not None:
                box.mailbox.hold(row.conversation_id)

    async def forget(self, message_ids: Sequence[str]) -> int:
        """Deletes dead letters; what waited for them goes on. Gives how many were deleted."""
        held = self._reader.held_by(message_ids)
        result = await self._commits.apart(Changes(forget=list(message_ids), released=places(held)))
        self.released(held)
        return sum(message_id not in result.missed for message_id in message_ids)

    async def skip(self, message_id: str) -> int:
        """What waits for this dead letter goes on without it; gives how many conversations that are."""
        held = self._reader.held_by([message_id])
        if held:
            await self._commits.apart(Changes(released=places(held)))
            self.released(held)
        return len(held)

    def released(self, held: Iterable[Held]) -> None:
        """It is durable that these conversations wait no more."""
        for row in held:
            box = self._boxes.get(row.agent)
            if box is not None:
                box.mailbox.release(row.conversation_id)
                self._wake(box)


def places(held: Iterable[Held]) -> list[tuple[str, str]]:
    """As `Changes.released` wants them."""
    return [(row.agent, row.conversation_id) for row in held]
