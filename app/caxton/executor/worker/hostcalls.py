"""The import module `caxton`, plain part: check bounds, copy, count, return (spec/abi.md).

Owns the functions that run inside a callback, on the guest's fiber. Must never parse guest bytes here.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import time
from collections.abc import Callable
from typing import Final

from caxton.executor.guest import OutOfBounds
from caxton.executor.worker.execution import Execution, Handed
from caxton.protocol.execution import TimerSet
from caxton.protocol.names import TIMER_PREFIX

DENIED: Final = -1
INVALID: Final = -2
LIMIT: Final = -3
NOT_FOUND: Final = -4
TOO_SMALL: Final = -5
UNAVAILABLE: Final = -6
TIMEOUT: Final = -7

INCARNATION_KEY: Final = b"caxton.incarnation"
_U32: Final = 0xFFFFFFFF
_MAX_DELAY_US: Final = 100 * 365 * 86_400 * 1_000_000
_I32: Final = struct.Struct("<i")
_RECEIVER: Final = re.compile(rb'"receiver"[ \t\r\n]*:[ \t\r\n]*"([^"\\]{1,200})"')


class Pressure:
    """What the router last said: which mailboxes are full, and how much more the outbox takes for which agents.

    What an execution sends reaches the router when it ends: so each counts its own messages for the outbox.
    """

    __slots__ = ("away", "full", "left", "node_full")

    def __init__(self) -> None:
        self.full: frozenset[bytes] = frozenset()
        self.node_full = False
        self.away: frozenset[bytes] = frozenset()
        self.left = 0

    def set(self, full: list[str], node_full: bool) -> None:
        """Replaces what was known of mailboxes."""
        self.full = frozenset(name.encode() for name in full)
        self.node_full = node_full

    def set_room(self, left: int | None, away: list[str] | None) -> None:
        """Replaces what was known of the outbox; see `protocol.execution.Room`."""
        if away is not None:
            self.away = frozenset(name.encode() for name in away)
        self.left = sys.maxsize if left is None else left

    def takes(self, execution: Execution, receiver: str, *, at_once: bool = False) -> bool:
        """Whether a message to `receiver` finds room; `at_once`: it does not wait for the end of the execution."""
        if execution.border is not None:
            return bool(execution.border.room(lambda: self._takes(execution, [receiver.encode()], at_once)))
        return self._takes(execution, [receiver.encode()], at_once)

    def takes_unparsed(self, execution: Execution, data: bytes) -> bool:
        """The same for a message that must not be parsed yet. What only looks like a receiver, inside its
        content, counts too: then the guest is told to try again later, which it must be ready for anyway.
        """
        if execution.border is not None:
            return bool(execution.border.room(lambda: self._takes_unparsed(execution, data)))
        return self._takes_unparsed(execution, data)

    def _takes_unparsed(self, execution: Execution, data: bytes) -> bool:
        if self.node_full or not (self.full or self.away):
            return not self.node_full
        return self._takes(execution, [found[1] for found in _RECEIVER.finditer(data)], False)

    def _takes(self, execution: Execution, names: list[bytes], at_once: bool) -> bool:
        if self.node_full or not self.full.isdisjoint(names):
            return False
        if not self.away.isdisjoint(names):
            if execution.sent_away >= self.left:
                return False
            execution.sent_away += not at_once
        return True


pressure: Final = Pressure()


def bounded(call: Callable[..., int]) -> Callable[..., int]:
    """`call`, with bytes outside the memory answered by `INVALID`."""

    def checked(execution: Execution, *arguments: int) -> int:
        try:
            return call(execution, *arguments)
        except OutOfBounds:
            return INVALID

    return checked


def reply(execution: Execution, pointer: int, length: int) -> int:
    """`inform` with this content to the sender of the message being handled."""
    if not execution.may_act:
        return DENIED
    message, spec, memory = execution.message, execution.agent.spec, execution.memory
    try:
        if length & _U32 > spec.max_message_bytes:
            memory.check(pointer, length)
            return LIMIT
        data = memory.read(pointer, length)
    except OutOfBounds:
        return INVALID
    if message is None or execution.replied or message.sender.startswith(TIMER_PREFIX):
        return INVALID
    if execution.ordinal >= spec.limits.messages_per_execution:
        return LIMIT
    execution.replied = True
    execution.ordinal += 1
    execution.handed.append(Handed("reply", execution.ordinal, data))
    return 0


def may_queue(execution: Execution, pointer: int, length: int) -> bytes | int:
    """The bytes of a message to be sent, copied, or why it may not be; its receiver is not looked at."""
    spec = execution.agent.spec
    if not spec.send or not execution.may_act:
        return DENIED
    execution.memory.check(pointer, length)
    if length & _U32 > spec.max_message_bytes or execution.ordinal >= spec.limits.messages_per_execution:
        return LIMIT
    return execution.memory.read(pointer, length)


def send_message(execution: Execution, pointer: int, length: int) -> int:
    """Queues a message as JSON; for agents that may send to everybody, or to nobody."""
    data = may_queue(execution, pointer, length)
    if isinstance(data, int):
        return data
    if not pressure.takes_unparsed(execution, data):
        return LIMIT
    execution.handed.append(Handed("send", execution.next_ordinal(), data))
    return 0


def store_data(execution: Execution, kptr: int, klen: int, vptr: int, vlen: int) -> int:
    """Sets a key of this agent, with the execution's commit."""
    if not execution.agent.spec.kv or not execution.may_act:
        return DENIED
    limits, memory = execution.agent.spec.limits, execution.memory
    memory.check(kptr, klen)
    memory.check(vptr, vlen)
    if klen & _U32 > limits.key_bytes or vlen & _U32 > limits.value_bytes:
        return LIMIT
    return _write(execution, memory.read(kptr, klen), memory.read(vptr, vlen))


def delete_data(execution: Execution, kptr: int, klen: int) -> int:
    """Deletes a key of this agent, with the execution's commit."""
    if not execution.agent.spec.kv or not execution.may_act:
        return DENIED
    execution.memory.check(kptr, klen)
    if klen & _U32 > execution.agent.spec.limits.key_bytes:
        return LIMIT
    return _write(execution, execution.memory.read(kptr, klen), None)


def _write(execution: Execution, key: bytes, value: bytes | None) -> int:
    if not key:
        return INVALID
    before = execution.writes.get(key)
    size = execution.write_bytes + len(value or b"") - len(before or b"")
    size += 0 if key in execution.writes else len(key)
    if size > execution.agent.spec.limits.state_bytes:
        return LIMIT
    execution.write_bytes = size
    execution.writes.pop(key, None)  # the last write of a key stands last
    execution.writes[key] = value
    return 0


def set_timer(execution: Execution, delay_us: int) -> int:
    """Sets a durable timer; its id, which no other timer of this agent has."""
    if not execution.may_act:
        return DENIED
    if not 0 <= delay_us <= _MAX_DELAY_US:
        return INVALID
    if len(execution.timers_set) >= execution.agent.spec.limits.messages_per_execution:
        return LIMIT
    now = execution.source.now_us() / 1e6 if execution.source else time.time()
    timer_id = _new_timer_id(execution, now)
    execution.timers_set[timer_id] = TimerSet(timer_id, now + delay_us / 1e6)
    return timer_id


def _new_timer_id(execution: Execution, now: float) -> int:
    """Tenths of milliseconds, modulo 2.4 days, but never one that this agent got before.

    A due timer's message id is derived from it and remembered for 24 h, so it must not come again sooner.
    """
    agent = execution.agent
    candidate = int(now * 10_000) & 0x7FFFFFFF
    last = agent.last_timer_id
    if candidate <= last < candidate + 0x1000_0000:
        candidate = (last + 1) & 0x7FFFFFFF
    agent.last_timer_id = candidate or 1
    return agent.last_timer_id


def cancel_timer(execution: Execution, timer_id: int) -> int:
    """Cancels a timer of this agent; one that is not known any more is no error."""
    if not execution.may_act:
        return DENIED
    if timer_id < 0:
        return INVALID
    if execution.timers_set.pop(timer_id, None) is None:
        if len(execution.timers_cancelled) >= execution.agent.spec.limits.messages_per_execution:
            return LIMIT
        execution.timers_cancelled.append(timer_id)
    return 0


def current_timestamp(execution: Execution) -> int:
    """Microseconds since the epoch; in profile `deterministic` the same for the whole execution."""
    if not execution.agent.spec.clocks:
        return DENIED
    return execution.source.now_us() if execution.source else time.time_ns() // 1000


def random_u32(execution: Execution) -> int:
    """32 random bits; in profile `deterministic` from the execution's seed."""
    if not execution.agent.spec.random:
        return DENIED
    data = execution.source.random_bytes(4) if execution.source else os.urandom(4)
    return int(_I32.unpack(data)[0])


def console_log(execution: Execution, pointer: int, length: int) -> None:
    """A line of the agent's log."""
    _console(execution, "log", pointer, length)


def console_error(execution: Execution, pointer: int, length: int) -> None:
    """A line of the agent's log, as an error."""
    _console(execution, "error", pointer, length)


def _console(execution: Execution, stream: str, pointer: int, length: int) -> None:
    try:
        execution.memory.check(pointer, length)
    except OutOfBounds:
        return
    room = execution.agent.spec.limits.log_bytes - execution.log_bytes
    execution.log(stream, execution.memory.read(pointer, max(min(length & _U32, room), 0)))


def copy_out(execution: Execution, value: bytes, pointer: int, length: int) -> int:
    """The value's full length; it is copied only if it fits."""
    execution.memory.check(pointer, length)
    if len(value) <= length & _U32:
        execution.memory.write(pointer, value)
    return len(value)


def get_config(execution: Execution, kptr: int, klen: int, buffer: int, length: int) -> int:
    """A value of the agent's `config` table: text as it is, all else as JSON."""
    if klen & _U32 > 4_096:
        execution.memory.check(kptr, klen)
        return NOT_FOUND
    key = execution.memory.read(kptr, klen)
    if key == INCARNATION_KEY:
        return copy_out(execution, b"%d" % execution.incarnation, buffer, length)
    value = execution.agent.config.get(key)
    return NOT_FOUND if value is None else copy_out(execution, value, buffer, length)


def read_reply(execution: Execution, buffer: int, length: int) -> int:
    """The last reply to `request` once more, for those whose buffer was too small."""
    return NOT_FOUND if execution.answer is None else copy_out(execution, execution.answer, buffer, length)
