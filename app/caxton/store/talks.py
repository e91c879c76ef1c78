"""What is stored of conversations, capabilities, topics and tasks.

Owns the queries of those tables. Must never write; a reader lends its connection (`ask`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from caxton.store.apply_talks import BID_COLUMNS, CONVERSATION_COLUMNS
from caxton.store.extent import EVERYTHING, Extent
from caxton.store.rows import Slice
from caxton.store.talk_rows import BidRow, CapabilityRow, ConversationRow, TaskRow

_CONVERSATION: Final = f"SELECT {', '.join(CONVERSATION_COLUMNS)}, seq FROM conversation"
_BID: Final = f"SELECT {', '.join(BID_COLUMNS)} FROM bid"
_decode_capability: Final = msgspec.json.Decoder(CapabilityRow).decode
_decode_task: Final = msgspec.msgpack.Decoder(TaskRow).decode
Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Talks:
    """Pages run newest first; `before` is the `seq` at which the page before ended."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    # ---- conversations --------------------------------------------------------------------------------

    def between(self, conversation_id: str, protocol: str, one: str, other: str) -> list[ConversationRow]:
        """The standing between two parties, whoever of them began it."""
        rows = self._ask(
            f"{_CONVERSATION} WHERE conversation_id = ? AND protocol = ? AND "
            "((initiator = ? AND participant = ?) OR (initiator = ? AND participant = ?))",
            (conversation_id, protocol, one, other, other, one),
        )
        return [ConversationRow(*row) for row in rows]

    def conversation(self, conversation_id: str, *, limit: int = 1_000) -> list[ConversationRow]:
        """All standings of one conversation, in the order in which they began."""
        rows = self._ask(f"{_CONVERSATION} WHERE conversation_id = ? ORDER BY seq LIMIT ?", (conversation_id, limit))
        return [ConversationRow(*row) for row in rows]

    def conversations(
        self,
        *,
        protocol: str | None,
        state: str | None,
        agent: str | None,
        open_only: bool,
        before: int,
        limit: int,
        extent: Extent = EVERYTHING,
    ) -> Slice[ConversationRow]:
        """A page of standings, filtered; `agent` is either party."""
        where = "seq < ?"
        values: list[Any] = [before]
        for condition, value in (("protocol = ?", protocol), ("state = ?", state)):
            if value is not None:
                where, values = f"{where} AND {condition}", [*values, value]
        if agent is not None:
            where, values = f"{where} AND (initiator = ? OR participant = ?)", [*values, agent, agent]
        if open_only:
            where += " AND ended_at IS NULL"
        more, of_extent = extent.named("initiator", "participant")
        where, values = where + more, [*values, *of_extent]
        rows = self._ask(f"{_CONVERSATION} WHERE {where} ORDER BY seq DESC LIMIT ?", (*values, limit + 1))
        found = [ConversationRow(*row) for row in rows[:limit]]
        return Slice(found, str(found[-1].seq) if len(rows) > limit else None)

    def due(self, now: float, limit: int) -> list[ConversationRow]:
        """Standings whose deadline has passed, the oldest first."""
        rows = self._ask(
            f"{_CONVERSATION} WHERE deadline IS NOT NULL AND deadline <= ? ORDER BY deadline LIMIT ?", (now, limit)
        )
        return [ConversationRow(*row) for row in rows]

    def next_deadline(self) -> float | None:
        """The earliest deadline of all."""
        found: float | None = self._ask("SELECT min(deadline) FROM conversation WHERE deadline IS NOT NULL", ())[0][0]
        return found

    # ---- capabilities and topics ------------------------------------------------------------------------

    def capabilities(self) -> list[CapabilityRow]:
        """Everything that is registered."""
        return [_decode_capability(row[0]) for row in self._ask("SELECT document FROM capability ORDER BY name", ())]

    def choice(self, conversation_id: str, name: str) -> str | None:
        """The agent that a conversation got for a capability."""
        rows = self._ask(
            "SELECT agent FROM capability_choice WHERE conversation_id = ? AND name = ?", (conversation_id, name)
        )
        return rows[0][0] if rows else None

    def subscriptions(self) -> list[tuple[str, str, float]]:
        """Topic, agent, since when."""
        return [(row[0], row[1], row[2]) for row in self._ask("SELECT topic, agent, at FROM subscription", ())]

    # ---- tasks ------------------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskRow | None:
        """One task."""
        rows = self._ask("SELECT document FROM task WHERE task_id = ?", (task_id,))
        return _decode_task(rows[0][0]) if rows else None

    def open_tasks(self) -> list[TaskRow]:
        """Tasks that have not ended, the oldest first."""
        rows = self._ask("SELECT document FROM task WHERE finished_at IS NULL ORDER BY seq", ())
        return [_decode_task(row[0]) for row in rows]

    def tasks(
        self, *, state: str | None, capability: str | None, before: int, limit: int, extent: Extent = EVERYTHING
    ) -> tuple[list[TaskRow], int | None]:
        """A page of tasks and where the next one begins."""
        where = "seq < ?"
        values: list[Any] = [before]
        for condition, value in (("state = ?", state), ("capability = ?", capability)):
            if value is not None:
                where, values = f"{where} AND {condition}", [*values, value]
        more, of_extent = extent.named("capability")
        where, values = where + more, [*values, *of_extent]
        rows = self._ask(
            f"SELECT seq, document FROM task WHERE {where} ORDER BY seq DESC LIMIT ?", (*values, limit + 1)
        )
        return [_decode_task(row[1]) for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None

    def bids(self, task_id: str) -> list[BidRow]:
        """What became of the calls of one task, by bidder."""
        return [BidRow(*row) for row in self._ask(f"{_BID} WHERE task_id = ? ORDER BY agent", (task_id,))]
