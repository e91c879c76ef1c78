"""Reading what supervision keeps: held conversations, marks of schedules, HTTP calls, executions of one message.

Owns these queries, as a part of `Reader`. Must never write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caxton.store import cursors
from caxton.store.apply_supervision import HTTP_CALL_COLUMNS
from caxton.store.rows import Held, HttpCallRow, ScheduleMark, Slice


class SupervisionReader:
    """Mixed into `Reader`, which brings the connection."""

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def held(self, agent: str | None = None) -> list[Held]:
        """Conversations (of one agent) that wait for what becomes of a dead letter."""
        where, values = (" WHERE agent = ?", (agent,)) if agent is not None else ("", ())
        columns = "agent, conversation_id, message_id, at"
        return [Held(*row) for row in self._all(f"SELECT {columns} FROM held_conversation{where}", values)]

    def held_by(self, message_ids: Sequence[str]) -> list[Held]:
        """The conversations that wait for one of these dead letters."""
        wanted = set(message_ids)
        return [row for row in self.held() if row.message_id in wanted]

    def schedule_marks(self, agent: str) -> list[ScheduleMark]:
        """Up to when each schedule of an agent has been accounted for."""
        rows = self._all("SELECT agent, name, due FROM schedule_mark WHERE agent = ?", (agent,))
        return [ScheduleMark(*row) for row in rows]

    def executions_of(self, agent: str, message_id: str) -> list[str]:
        """Ids of an agent's executions of one message, oldest first, as far as they are kept."""
        query = "SELECT id FROM execution WHERE agent = ? AND message_id = ? ORDER BY seq"
        return [str(row[0]) for row in self._all(query, (agent, message_id))]

    def http_calls(self, agent: str, *, limit: int = 50, cursor: str | None = None) -> Slice[HttpCallRow]:
        """A page of an agent's outbound HTTP calls."""
        rows = self._all(
            f"SELECT seq, {', '.join(HTTP_CALL_COLUMNS)} FROM http_call WHERE agent = ? AND seq < ? "
            "ORDER BY seq DESC LIMIT ?",
            (agent, cursors.before(cursor), limit + 1),
        )
        next_cursor = str(rows[limit - 1][0]) if len(rows) > limit else None
        return Slice([HttpCallRow(*row[1:]) for row in rows[:limit]], next_cursor)
