"""The import module `caxton`, deferred part: host functions that need an answer or decode guest bytes.

Owns the functions that run on the main stack while the guest's fiber is suspended. Each returns the
guest's integer, or what to wait for (`Sleep`, `Ask`). Must never block, and never outlive the execution.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import msgspec

from caxton.executor.worker import outbox
from caxton.executor.worker.execution import Ask, Execution, Handed, Sleep
from caxton.executor.worker.hostcalls import DENIED, INVALID, LIMIT, NOT_FOUND, TIMEOUT, copy_out, may_queue, pressure
from caxton.executor.worker.inbox import message_json
from caxton.protocol.errors import CaxtonError
from caxton.protocol.ids import derived_id
from caxton.protocol.messages import Message
from caxton.protocol.names import MAX_NAME_LENGTH

_U32: Final = 0xFFFFFFFF
_replies: Final = msgspec.msgpack.Decoder(Message)
_MAX_SLEEP_US: Final = 365 * 86_400 * 1_000_000


def _zero() -> int:
    return 0


def sleep_micros(execution: Execution, micros: int) -> int | Sleep:
    """Suspends the guest."""
    if micros < 0:
        return INVALID
    if micros == 0:
        return 0
    return Sleep(time.monotonic() + min(micros, _MAX_SLEEP_US) / 1e6, _zero)


def load_data(execution: Execution, kptr: int, klen: int, buffer: int, length: int) -> int | Ask:
    """A key's value: this execution's own writes first, then the router's."""
    if not execution.agent.spec.kv:
        return DENIED
    execution.memory.check(buffer, length)
    execution.memory.check(kptr, klen)
    if klen & _U32 > execution.agent.spec.limits.key_bytes:
        return LIMIT
    key = execution.memory.read(kptr, klen)
    if key in execution.writes:
        value = execution.writes[key]
        return NOT_FOUND if value is None else copy_out(execution, value, buffer, length)
    try:
        name = key.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID
    return Ask("load", name, None, partial(_loaded, execution, buffer, length))


def _loaded(execution: Execution, buffer: int, length: int, status: int, data: bytes) -> int:
    return status if status < 0 else copy_out(execution, data, buffer, length)


def get_secret(execution: Execution, nptr: int, nlen: int, buffer: int, length: int) -> int | Ask:
    """A secret's value, from the router each time: the worker keeps none."""
    granted = execution.agent.spec.secrets
    execution.memory.check(nptr, nlen)
    execution.memory.check(buffer, length)
    if not granted:
        return DENIED
    if nlen & _U32 > MAX_NAME_LENGTH:
        return INVALID
    name = execution.memory.read(nptr, nlen).decode("utf-8", "replace")
    return Ask("secret", name, None, partial(_loaded, execution, buffer, length)) if name in granted else DENIED


def send_message_checked(execution: Execution, pointer: int, length: int) -> int:
    """`send_message` for agents whose grant names receivers: it must be decoded to answer `DENIED`."""
    data = may_queue(execution, pointer, length)
    if isinstance(data, int):
        return data
    try:
        draft = outbox.parse_draft(data, "send_message")
    except CaxtonError:
        pass  # like every malformed message it fails the execution when the guest has returned
    else:
        if not outbox.may_send(execution, draft.receiver):
            return DENIED
        if not pressure.takes(execution, draft.receiver):
            return LIMIT
    execution.handed.append(Handed("send", execution.next_ordinal(), data))
    return 0


def request(execution: Execution, pointer: int, length: int, buffer: int, buffer_length: int) -> int | Ask:
    """Sends a message at once and waits for its reply."""
    execution.memory.check(buffer, buffer_length)
    data = may_queue(execution, pointer, length)
    if isinstance(data, int):
        return data
    try:
        draft = outbox.parse_draft(data, "request")
        if not outbox.may_send(execution, draft.receiver):
            return DENIED
        parent = execution.message.message_id if execution.message else ""
        message_id = derived_id(parent, execution.ordinal + 1, data)
        message = outbox.build_message(execution, draft, message_id, "request")
    except CaxtonError:
        return INVALID
    if not pressure.takes(execution, message.receiver, at_once=True):
        return LIMIT
    execution.next_ordinal()
    border = execution.border
    replays = border is not None and border.replays  # then the answer is there, whenever that was
    until = None if message.reply_by is None or replays else time.monotonic() + message.reply_by - time.time()
    ask = Ask("request", None, message, partial(_answered, execution, buffer, buffer_length), until)
    if until is not None and until <= time.monotonic():
        if border is not None:
            border.answered(ask, TIMEOUT, b"")
        return TIMEOUT
    return ask


def _answered(execution: Execution, buffer: int, length: int, status: int, data: bytes) -> int:
    if status < 0:
        return status
    execution.answer = answer = message_json(_replies.decode(data)) if data else b""
    return copy_out(execution, answer, buffer, length)


def http_request(execution: Execution, pointer: int, length: int, buffer: int, buffer_length: int) -> int | Ask:
    """Has the router make an HTTP request, and waits for the answer; nothing of it is looked at here."""
    execution.memory.check(pointer, length)
    execution.memory.check(buffer, buffer_length)
    spec = execution.agent.spec
    if not spec.http or not execution.may_act:
        return DENIED
    if length & _U32 > 2 * spec.max_message_bytes or execution.ordinal >= spec.limits.messages_per_execution:
        return LIMIT
    data = execution.memory.read(pointer, length)
    parent = execution.message.message_id if execution.message else ""
    key = derived_id(parent, execution.next_ordinal(), data)
    return Ask("http", key, None, partial(_fetched, execution, buffer, buffer_length), None, data)


def _fetched(execution: Execution, buffer: int, length: int, status: int, data: bytes) -> int:
    if status < 0:
        return status
    execution.answer = data
    return copy_out(execution, data, buffer, length)
