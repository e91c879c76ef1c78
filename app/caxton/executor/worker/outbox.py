"""What a guest handed over, parsed on the main stack after it returned.

Owns the checks of outgoing messages (spec/abi.md, spec/messages.md). Must never send one.
"""

from __future__ import annotations

import base64
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from caxton.executor.worker.execution import Execution, Handed
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Sent
from caxton.protocol.ids import derived_id
from caxton.protocol.messages import (
    DEFAULT_PRIORITY,
    MAX_CORRELATION_LENGTH,
    Message,
    Performative,
)
from caxton.protocol.names import (
    CAPABILITY_PREFIX,
    CLIENT_PREFIX,
    MAX_NAME_LENGTH,
    TASKS,
    TIMER_PREFIX,
    TOPIC_PREFIX,
    is_agent_name,
)
from caxton.protocol.spans import within

_Label = Annotated[str, Meta(max_length=MAX_CORRELATION_LENGTH)]
_PERFORMATIVES: Final = frozenset(Performative)


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message as a guest writes it. Ids and trace are the host's: what a guest says there is ignored."""

    performative: str
    receiver: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")
    sender: str | None = None
    conversation_id: _Label | None = None
    reply_with: _Label | None = None
    in_reply_to: _Label | None = None
    reply_by: Annotated[datetime, Meta(tz=True)] | None = None
    protocol: _Label | None = None
    ontology: _Label | None = None
    language: _Label | None = None
    priority: Annotated[int, Meta(ge=1, le=10)] = DEFAULT_PRIORITY
    message_id: str | None = None
    trace_context: str | None = None


_drafts = msgspec.json.Decoder(Draft)
_any_json = msgspec.json.Decoder(msgspec.Raw)


def invalid(place: str, what: str) -> CaxtonError:
    """`INVALID_MESSAGE` with the place where it is wrong."""
    return CaxtonError(Code.INVALID_MESSAGE, f"{place}: {what}", path=place)


def check_json(data: bytes, place: str) -> bytes:
    """`data` if it is JSON text in UTF-8, else `INVALID_MESSAGE`."""
    try:
        data.decode("utf-8")
        _any_json.decode(data)
    except UnicodeDecodeError as problem:
        raise invalid(place, f"invalid UTF-8 at byte {problem.start}") from None
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise invalid(place, f"not JSON: {problem}") from None
    return data


def parse_draft(data: bytes, place: str) -> Draft:
    """A draft, or `INVALID_MESSAGE`."""
    try:
        return _drafts.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise invalid(place, str(problem)) from None


def build_message(execution: Execution, draft: Draft, message_id: str, place: str) -> Message:
    """The message that `draft` asks for, with the host's fields set; or `INVALID_MESSAGE`."""
    parent = execution.message
    name = execution.agent.spec.name
    performative = draft.performative.replace("-", "_").lower()
    if performative not in _PERFORMATIVES:
        raise invalid(f"{place}.performative", f"{draft.performative[:40]!r} is not a performative")
    if draft.sender is not None and draft.sender != name:
        raise invalid(f"{place}.sender", f"must be absent or {name!r}")
    _check_receiver(draft.receiver, parent, f"{place}.receiver")
    content = check_json(bytes(draft.content), f"{place}.content")
    if draft.language == "bytes":
        _check_base64(content, f"{place}.content")
    return Message(
        message_id,
        performative,
        name,
        draft.receiver,
        content,
        draft.conversation_id or (parent.conversation_id if parent else message_id),
        draft.priority,
        draft.reply_with,
        draft.in_reply_to,
        draft.reply_by.timestamp() if draft.reply_by else None,
        draft.protocol,
        draft.ontology,
        draft.language,
        within(parent.traceparent, parent.message_id) if parent else None,
    )


def _check_receiver(receiver: str, parent: Message | None, place: str) -> None:
    if is_agent_name(receiver):
        return
    if parent is not None and receiver == parent.sender and receiver.startswith(CLIENT_PREFIX):
        return
    if receiver == TASKS:
        return
    if receiver.startswith((CAPABILITY_PREFIX, TOPIC_PREFIX)) and len(receiver) <= MAX_NAME_LENGTH * 2:
        return
    raise invalid(place, f"{receiver[:80]!r} is not a receiver that this message may have")


def _check_base64(content: bytes, place: str) -> None:
    try:
        base64.b64decode(msgspec.json.decode(content, type=str), validate=True)
    except (msgspec.MsgspecError, ValueError):
        raise invalid(place, "language bytes needs a JSON string of base64") from None


def may_send(execution: Execution, receiver: str) -> bool:
    """Whether the agent's `send` grant covers `receiver`; answering the sender is always allowed."""
    parent = execution.message
    if parent is not None and receiver == parent.sender:
        return True
    return any(fnmatchcase(receiver, pattern) for pattern in execution.agent.spec.send)


def collect(execution: Execution) -> list[Sent]:
    """Everything that the guest handed over, as messages in order; `INVALID_MESSAGE` at the first bad one."""
    return [_sent(execution, item, index) for index, item in enumerate(execution.handed)]


def _sent(execution: Execution, item: Handed, index: int) -> Sent:
    parent = execution.message
    parent_id = parent.message_id if parent else ""
    message_id = derived_id(parent_id, item.ordinal)
    if item.kind == "reply":
        assert parent is not None  # `reply` is refused without a message
        content = check_json(item.data, "reply")
        return Sent(_reply(execution.agent.spec.name, parent, message_id, content), True)
    if item.kind == "broadcast":
        return _broadcast(execution, item, message_id, f"broadcast_message[{index}]")
    place = f"send_message[{index}]"
    message = build_message(execution, parse_draft(item.data, place), message_id, place)
    return Sent(message, _is_reply(message, parent))


def _broadcast(execution: Execution, item: Handed, message_id: str, place: str) -> Sent:
    draft = parse_draft(item.data, place)
    if draft.receiver not in ("", item.receiver):
        raise invalid(f"{place}.receiver", f"must be absent or {item.receiver!r}")
    draft = msgspec.structs.replace(draft, receiver=item.receiver)
    return Sent(build_message(execution, draft, message_id, place), False, True)


def _reply(name: str, parent: Message, message_id: str, content: bytes) -> Message:
    return Message(
        message_id,
        "inform",
        name,
        parent.sender,
        content,
        parent.conversation_id,
        parent.priority,
        None,
        parent.reply_with or parent.message_id,
        None,
        parent.protocol,
        parent.ontology,
        None,
        within(parent.traceparent, parent.message_id),
    )


def _is_reply(message: Message, parent: Message | None) -> bool:
    if parent is None or message.receiver != parent.sender or parent.sender.startswith(TIMER_PREFIX):
        return False
    if message.in_reply_to is None:
        return message.receiver.startswith(CLIENT_PREFIX)
    return message.in_reply_to in (parent.reply_with, parent.message_id)


def final_writes(execution: Execution) -> list[tuple[str, bytes | None]]:
    """The keys written or deleted (None); `INVALID_MESSAGE` for a key that is not UTF-8."""
    found: list[tuple[str, Any]] = []
    for key, value in execution.writes.items():
        try:
            found.append((key.decode("utf-8"), value))
        except UnicodeDecodeError as problem:
            raise invalid("store_data.key", f"invalid UTF-8 at byte {problem.start}") from None
    return found
