"""Which bid is the best, and the messages of a task.

Owns the comparison of bids and the form of what the node says. Pure: must never send anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import derived_id
from caxton.protocol.messages import Message, Performative
from caxton.protocol.names import TASKS
from caxton.store import BidRow, TaskRow

CONTRACT_NET: Final = "fipa-contract-net"
QUERY: Final = "fipa-query"
_ORDINALS: Final = {
    Performative.CFP: 0,
    Performative.ACCEPT_PROPOSAL: 1,
    Performative.REJECT_PROPOSAL: 2,
    Performative.QUERY_REF: 3,
    Performative.CANCEL: 4,
}
"""What makes the ids of a task's messages: the same step again, after a crash, is the same message."""


def value_of(content: bytes, field: str | None) -> float | None:
    """The number at a dotted `field` of a bid; None for anything that is not one."""
    if field is None:
        return None
    try:
        found: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return None
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def ranked(bids: Iterable[BidRow], order: str) -> list[str]:
    """The bidders whose proposals can be compared, the best first; of equal ones the one that came first."""
    sign = -1.0 if order == "max" else 1.0
    found = [
        (sign * bid.value, bid.at, bid.agent) for bid in bids if bid.state == "proposed" and bid.value is not None
    ]
    return [agent for _, _, agent in sorted(found)]


def chosen(content: bytes) -> str | None:
    """What a chooser answered: `{"agent": NAME}`, or null for nobody; `INVALID_MESSAGE` for anything else."""
    try:
        answer = msgspec.json.decode(content, type=_Choice | None)
    except (msgspec.MsgspecError, RecursionError):
        raise CaxtonError(
            Code.INVALID_MESSAGE, 'the chooser must answer {"agent": NAME} or null', path="content"
        ) from None
    return None if answer is None else answer.agent


class _Choice(msgspec.Struct):
    agent: str | None


def said(task: TaskRow, performative: Performative, agent: str, content: bytes) -> Message:
    """What the node says to `agent` in the conversation of a task."""
    query = performative is Performative.QUERY_REF
    return Message(
        message_id=derived_id(task.task_id, _ORDINALS[performative], agent.encode()),
        performative=performative,
        sender=TASKS,
        receiver=agent,
        content=content,
        conversation_id=task.task_id,
        priority=task.priority,
        reply_by=_due(task, performative),
        protocol=QUERY if query else CONTRACT_NET,
        ontology=task.ontology,
        language=task.language if performative in (Performative.CFP, Performative.ACCEPT_PROPOSAL) else None,
        traceparent=task.traceparent,
    )


def question(task: TaskRow, bids: Iterable[BidRow]) -> bytes:
    """What a chooser is asked: the task and the bids that were made."""
    made = [
        {"agent": bid.agent, "content": msgspec.Raw(bid.content or b"null")}
        for bid in bids
        if bid.state == "proposed"
    ]
    return msgspec.json.encode(
        {
            "task_id": task.task_id,
            "capability": task.capability,
            "content": msgspec.Raw(task.content or b"null"),
            "bids": made,
        }
    )


def _due(task: TaskRow, performative: Performative) -> float | None:
    if performative is Performative.CFP:
        return task.reply_by
    return task.finish_by if performative in (Performative.ACCEPT_PROPOSAL, Performative.QUERY_REF) else None
