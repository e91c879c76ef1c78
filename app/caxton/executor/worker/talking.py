"""The import module `caxton`, part of topics and capabilities: subscribe, broadcast.

Owns the two functions that decode what they are given at once, as their answer depends on it; they run on the main
stack while the guest's fiber is suspended. Must never deliver anything.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import Final

import msgspec

from caxton.executor.worker.execution import Ask, Execution, Handed
from caxton.executor.worker.hostcalls import DENIED, INVALID, LIMIT, may_queue
from caxton.executor.worker.outbox import may_send
from caxton.protocol.names import CAPABILITY_PREFIX, TOPIC_PREFIX, is_agent_name

_U32: Final = 0xFFFFFFFF
_MAX_FILTER_BYTES: Final = 4_096


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    topic: str | None = None
    capability: str | None = None


_decode: Final = msgspec.json.Decoder(_Filter).decode


def subscribe_messages(execution: Execution, pointer: int, length: int) -> int:
    """Subscribes this agent to `{"topic": …}`, with the execution's commit."""
    spec = execution.agent.spec
    execution.memory.check(pointer, length)
    if not spec.topics or not execution.may_act:
        return DENIED
    receiver = _receiver(execution, pointer, length)
    if receiver is None or not receiver.startswith(TOPIC_PREFIX):
        return INVALID
    topic = receiver.removeprefix(TOPIC_PREFIX)
    if not any(fnmatchcase(topic, pattern) for pattern in spec.topics):
        return DENIED
    if len(execution.topics) >= spec.limits.messages_per_execution:
        return LIMIT
    execution.topics.append(topic)
    return 0


def broadcast_message(execution: Execution, fptr: int, flen: int, pointer: int, length: int) -> int | Ask:
    """Queues a message to all of `{"topic": …}` or `{"capability": …}`; gives how many that are now."""
    execution.memory.check(fptr, flen)
    data = may_queue(execution, pointer, length)
    if isinstance(data, int):
        return data
    receiver = _receiver(execution, fptr, flen)
    if receiver is None:
        return INVALID
    if not may_send(execution, receiver):
        return DENIED
    return Ask("count", receiver, None, partial(_counted, execution, receiver, data))


def _counted(execution: Execution, receiver: str, data: bytes, count: int, _: bytes) -> int:
    if count > 0:
        execution.handed.append(Handed("broadcast", execution.next_ordinal(), data, receiver))
    return count


def _receiver(execution: Execution, pointer: int, length: int) -> str | None:
    """What a filter names, as a receiver; None for anything but one topic or one capability."""
    if length & _U32 > _MAX_FILTER_BYTES:
        return None
    try:
        wanted = _decode(execution.memory.read(pointer, length))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    name = wanted.topic or wanted.capability
    if (wanted.topic is None) is (wanted.capability is None) or name is None or not is_agent_name(name):
        return None
    return (TOPIC_PREFIX if wanted.topic is not None else CAPABILITY_PREFIX) + name
