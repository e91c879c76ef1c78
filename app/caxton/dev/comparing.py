"""What a replay did otherwise than the execution that was recorded.

Owns which facts of an execution are compared, and which only measured. Must never run anything.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, Final

import msgspec

from caxton.protocol.recordings import OUTSIDE, Call, Ended, Recording


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
"""What others see of an execution, beside what they are asked while it runs.

Another version may do these as before, in another way.
"""
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
    both = [_both(what, fact, recorded, replayed) for what, fact in _EFFECTS.items()]
    both.append(Difference("asked outside", *_outside(recorded, replayed)))
    if inside:
        both += [_both(what, fact, recorded, replayed) for what, fact in _INSIDE.items()]
    return [one for one in both if one.recorded != one.replayed]


def _both(what: str, fact: Callable[[Ended], Any], recorded: Recording, replayed: Recording) -> Difference:
    return Difference(what, fact(recorded.ended), fact(replayed.ended))


def _outside(recorded: Recording, replayed: Recording) -> tuple[list[Any], list[Any]]:
    """What both asked of others, in order. Where one side does not know it, the other shows no more."""
    sides = [[call for call in one.calls if call.kind in OUTSIDE] for one in (recorded, replayed)]
    known = [not any(call is not None and call.hidden for call in pair) for pair in zip_longest(*sides)]
    before, after = ([_asked(call, known=sure) for call, sure in zip(side, known, strict=False)] for side in sides)
    return before, after


def _asked(call: Call, *, known: bool) -> list[Any]:
    if not known:
        return [call.kind]
    return [call.kind, call.what if call.kind == "request" else None, _content(call.given)]


def _content(text: bytes | None) -> Any:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
