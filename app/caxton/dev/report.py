"""What one message did, on plain data.

Owns the shape of a report. Must never format it for people.
"""

from __future__ import annotations

from typing import Any

import msgspec

from caxton.protocol.execution import Result, Usage
from caxton.protocol.messages import Message, Performative


class Passed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message for another agent. There is none here: nobody gets it. `waited`: by `request`."""

    receiver: str
    performative: str
    content: Any
    waited: bool = False


class Report(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One execution. `ended`: the reply's performative, `handled` without one, or the error's code.

    `log`: the lines; `stored`: keys with the bytes of their value (None = deleted); `timers`: seconds from now.
    """

    ended: str
    failed: bool
    content: Any = None
    detail: str | None = None
    backtrace: str | None = None
    log: list[str] = []
    log_dropped: int = 0
    passed: list[Passed] = []
    stored: dict[str, int | None] = {}
    timers: list[float] = []
    usage: Usage


def report_of(result: Result, asked: list[Message], now: float, refused: str | None) -> Report:
    """The report on `result`; `asked` are its `request`s, `refused` why its keys were not stored."""
    reply, performative = _reply(result)
    ended, failed, detail = _ending(result, performative, refused)
    kept = result.status == "ok" and refused is None
    others = [sent.message for sent in result.sent if not sent.is_reply] if kept else []
    return Report(
        ended=ended,
        failed=failed,
        content=None if refused else reply,
        detail=detail,
        backtrace=result.backtrace,
        log=[line.text for line in result.logs],
        log_dropped=result.logs_dropped,
        passed=[*(_passed(one, waited=True) for one in asked), *(_passed(one, waited=False) for one in others)],
        stored={key: None if value is None else len(value) for key, value in result.writes} if kept else {},
        timers=[round(timer.due - now, 3) for timer in result.timers_set] if kept else [],
        usage=result.usage,
    )


def _ending(result: Result, performative: str | None, refused: str | None) -> tuple[str, bool, str | None]:
    if refused is not None:
        return Performative.FAILURE.value, True, refused
    if result.status == "ok":
        return performative or "handled", performative == Performative.FAILURE, None
    if result.status == "failure":
        return Performative.FAILURE.value, True, result.detail or f"the agent's own error: {result.exit_code}"
    return str(result.code or result.status), True, result.detail


def _reply(result: Result) -> tuple[Any, str | None]:
    for sent in result.sent:
        if sent.is_reply:
            return msgspec.json.decode(sent.message.content), sent.message.performative
    if result.reply is None:
        return None, None
    return msgspec.json.decode(result.reply), Performative.INFORM.value


def _passed(message: Message, *, waited: bool) -> Passed:
    return Passed(message.receiver, message.performative, msgspec.json.decode(message.content), waited)
