"""The canonical line of an execution: what ran, for whom, how it ended, what it cost.

Owns its fields; app/docs/logs.md describes them. Must never cost a message that went well more than a comparison, nor
hold anything that an agent or a client said.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from caxton.protocol.execution import Result
from caxton.protocol.messages import State
from caxton.protocol.spans import is_sampled
from caxton.router.boxes import Flight, execution_id
from caxton.router.mailbox import Entry, Place
from caxton.telemetry.canonical import Budget, Lines

_MESSAGE: Final = "execution"
NOT_RUN: Final = "unknown_handle"
"""The worker had forgotten the agent: nothing was executed, the message is sent again."""
_ENDS: Final = {"ok": State.DONE, "failure": State.DONE, "error": State.DEAD, "cancelled": State.CANCELLED}
_DETAIL_CHARACTERS: Final = 200
_lines: Final = Lines("caxton.execution")


def executed(flight: Flight, result: Result) -> None:
    """An execution has ended, and what becomes of its message is decided."""
    message, status = flight.reply_to, result.status
    traceparent = None if message is None else message.traceparent
    if status == "ok" and not is_sampled(traceparent) and not _lines.wants_all():
        return  # nearly all
    entry = flight.entry
    if entry is None or status == NOT_RUN:
        return
    level, budget = _worth(status, sampled=is_sampled(traceparent))
    if not _lines.wants(level, budget):
        return
    usage = result.usage
    state = _ENDS[status] if entry.place is Place.GONE else State.PENDING
    fields = _common(flight, entry, traceparent, status, state)
    fields |= {
        "code": result.code,
        "detail": (result.detail or "")[:_DETAIL_CHARACTERS] or None if status == "error" else None,
        "seconds": round(usage.duration_seconds, 6),
        "cpu_seconds": round(usage.cpu_seconds, 6),
        "fuel": usage.fuel,
        "peak_memory_bytes": usage.peak_memory_bytes,
        "host_calls": usage.host_calls,
        "logs_dropped": result.logs_dropped or None,
    }
    _lines.write(_MESSAGE, level, budget, fields)


def lost(flight: Flight, reason: str) -> None:
    """The worker ended under an execution, and what becomes of its message is decided."""
    message, entry = flight.reply_to, flight.entry
    if entry is None or not _lines.wants(logging.WARNING, _lines.of_failures):
        return
    state = State.DEAD if entry.place is Place.GONE else State.PENDING
    traceparent = None if message is None else message.traceparent
    fields = _common(flight, entry, traceparent, "lost", State.CANCELLED if entry.cancelled else state)
    fields |= {"code": reason, "seconds": round(max(0.0, time.time() - flight.dispatched_at), 6)}
    _lines.write(_MESSAGE, logging.WARNING, _lines.of_failures, fields)


def attempt(entry: Entry, *, failed: bool) -> int:
    """The number of the delivery that has just ended, from 1: a failed one is counted in the entry already."""
    return entry.attempts if failed and entry.attempts else entry.attempts + 1


def _worth(status: str, *, sampled: bool) -> tuple[int, Budget]:
    """The level of its line, and what that is paid from."""
    if status == "ok":
        return (logging.INFO if sampled else logging.DEBUG), _lines.of_successes
    return (logging.WARNING if status == "error" else logging.INFO), _lines.of_failures


def _common(flight: Flight, entry: Entry, traceparent: str | None, status: str, state: State) -> dict[str, Any]:
    return {
        "agent": flight.home.agent.name,
        "version": flight.box.agent.version,
        "message_id": entry.message_id,
        "conversation_id": entry.conversation_id,
        "sender": entry.sender,
        "execution_id": execution_id(flight),
        "attempt": attempt(entry, failed=status in ("error", "lost")),
        "status": status,
        "state": state.value,
        "queue_seconds": round(max(0.0, flight.dispatched_at - entry.accepted_at), 6),
        "trace_id": None if traceparent is None else traceparent.split("-")[1],
    }
