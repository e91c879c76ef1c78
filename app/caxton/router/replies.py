"""Messages that the node makes itself: replies to what was handled, failures, due timers.

Owns their form and their derived ids. Pure: must never send one.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.protocol.agents import Schedule
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import derived_id
from caxton.protocol.messages import Message, Performative
from caxton.protocol.names import CLIENT_PREFIX, TIMER_PREFIX
from caxton.protocol.spans import within
from caxton.router.timing.times import rfc3339
from caxton.store import ConversationRow
from caxton.telemetry.sampling import begun

_FAILURE_ORDINAL: Final = -1  # no execution counts this far down: the node's own answers have ids of their own
_REPLY_ORDINAL: Final = -2
_OVERDUE_ORDINAL: Final = -3
_UNANSWERED: Final = frozenset({Performative.FAILURE, Performative.NOT_UNDERSTOOD, Performative.REFUSE})
_TOLD: Final = ("state", "allowed", "near", "refused")
"""Details of a refusal that help whoever sent the message."""
_json: Final = msgspec.json.Encoder()


def is_agent(sender: str) -> bool:
    """Whether a sender has a mailbox to which something can be answered."""
    return not sender.startswith((CLIENT_PREFIX, TIMER_PREFIX))


def failure_content(code: str, detail: str | None, **more: Any) -> bytes:
    """The content of a `failure`, as JSON."""
    return _json.encode({"code": code, "detail": detail, **more})


def answer(handled: Message, performative: str, content: bytes) -> Message:
    """An answer of the handler of `handled` to its sender."""
    return _answer(handled, performative, content, _REPLY_ORDINAL)


def failure_answer(handled: Message, content: bytes) -> Message | None:
    """The automatic failure reply to an agent; None where none is due (a failure is never answered by one)."""
    if not is_agent(handled.sender) or handled.performative in _UNANSWERED:
        return None
    return _answer(handled, Performative.FAILURE, content, _FAILURE_ORDINAL)


def undeliverable(message: Message, error: CaxtonError) -> Message | None:
    """What the sender of a message gets that could not be delivered."""
    details = {name: error.details[name] for name in _TOLD if name in error.details}
    return failure_answer(message, failure_content(error.code, error.message, receiver=message.receiver, **details))


def overdue(row: ConversationRow, waits: str, silent: str) -> Message:
    """What the party that waits gets when the other was silent until the deadline of its step."""
    detail = f"{row.protocol} was in state {row.state} when its deadline passed: {silent} was silent"
    return Message(
        message_id=derived_id(row.message_id, _OVERDUE_ORDINAL),
        performative=Performative.FAILURE,
        sender=silent,
        receiver=waits,
        content=failure_content(Code.MESSAGE_EXPIRED, detail, state=row.state),
        conversation_id=row.conversation_id,
        in_reply_to=row.reply_with or row.message_id,
        protocol=row.protocol,
    )


def timer_message(agent: str, agent_id: str, timer_id: int) -> Message:
    """A due timer as the message that it is; the same timer always gives the same id."""
    message_id = derived_id(f"{agent}:{agent_id}", timer_id)
    return Message(
        message_id=message_id,
        performative=Performative.INFORM,
        sender=f"{TIMER_PREFIX}{timer_id}",
        receiver=agent,
        content=b'{"timer_id":%d}' % timer_id,
        conversation_id=message_id,
        traceparent=begun(message_id),
    )


def scheduled_message(agent: str, agent_id: str, schedule: Schedule, due: float) -> Message:
    """What a schedule sends; the same due time always gives the same id."""
    message_id = derived_id(f"{agent}:{agent_id}:{schedule.name}", int(due))
    content = schedule.content
    if content is msgspec.UNSET:
        content = {"schedule": schedule.name, "due": rfc3339(due)}
    return Message(
        message_id=message_id,
        performative=Performative.REQUEST,
        sender=f"{TIMER_PREFIX}{schedule.name}",
        receiver=agent,
        content=_json.encode(content),
        conversation_id=message_id,
        traceparent=begun(message_id),
    )


def _answer(handled: Message, performative: str, content: bytes, ordinal: int) -> Message:
    return Message(
        message_id=derived_id(handled.message_id, ordinal),
        performative=performative,
        sender=handled.receiver,
        receiver=handled.sender,
        content=content,
        conversation_id=handled.conversation_id,
        priority=handled.priority,
        in_reply_to=handled.reply_with or handled.message_id,
        protocol=handled.protocol,
        ontology=handled.ontology,
        traceparent=within(handled.traceparent, handled.message_id),
    )
