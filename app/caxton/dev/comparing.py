"""What a replay did otherwise than the execution that was recorded.

Owns which facts of an execution are compared, and which only measured. Must never run anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from caxton.protocol.recordings import Ended, Recording


class Difference(msgspec.Struct, frozen=True):
    """One fact; both values as plain data."""

    what: str
    recorded: Any
    replayed: Any


def reply_of(ended: Ended) -> Any:
    """What the sender was answered, as far as the execution says: how it ended, and the content."""
    return [ended.status, ended.code, ended.exit_code, ended.performative, _content(ended.reply)]


_EFFECTS: Final[dict[str, Callable[[Ended], Any]]] = {
    "reply": reply_of,
    "messages sent": lambda ended: [[m.performative, m.receiver, _content(m.content)] for m in ended.sent],
    "keys written": lambda ended: ended.writes,
    "timers set": lambda ended: [[timer.timer_id, timer.due] for timer in ended.timers_set],
    "timers cancelled": lambda ended: ended.timers_cancelled,
    "topics": lambda ended: ended.topics,
}
"""What others see of an execution. Another version may do these as before, in another way."""
_INSIDE: Final[dict[str, Callable[[Ended], Any]]] = {
    "message ids": lambda ended: [message.message_id for message in ended.sent],
    "log": lambda ended: [[line.at, line.stream, line.text] for line in ended.logs],
    "fuel": lambda ended: ended.usage.fuel,
    "peak memory": lambda ended: ended.usage.peak_memory_bytes,
    "host calls": lambda ended: ended.usage.host_calls,
    "memory afterwards": lambda ended: ended.memory,
}
"""What the same module repeats to the bit, beside its effects."""


def differences(recorded: Recording, replayed: Recording, *, inside: bool = True) -> list[Difference]:
    """In a fixed order; empty when the replay did the same. `inside`: it was the same module."""
    facts = _EFFECTS | _INSIDE if inside else _EFFECTS
    found = []
    for what, fact in facts.items():
        before, after = fact(recorded.ended), fact(replayed.ended)
        if before != after:
            found.append(Difference(what, before, after))
    return found


def _content(text: bytes | None) -> Any:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
