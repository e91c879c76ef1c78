"""What crosses between the processes of a node for traces: W3C trace context, and finished spans as plain data.

Owns the rule by which spans of one message find each other without a word between processes: the ids of `send` and
`process` follow from the message's id. Must never keep or send a span.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from typing import Final

import msgspec

Attributes = dict[str, str | int | float | bool]
_SAMPLED: Final = frozenset("13579bdf")
"""The last digit of a traceparent whose flag 1 (sampled) is set."""
_LENGTH: Final = 55


class Kind(IntEnum):
    """As in OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Something that happened during a span; `at` in nanoseconds since the epoch."""

    name: str
    at: int
    attributes: Attributes = {}


class Span(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One finished span. Ids are lower-case hex; `start`, `end` in nanoseconds since the epoch.

    `error`: None for a span that is not in error, else why.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: Kind
    start: int
    end: int
    attributes: Attributes = {}
    error: str | None = None
    events: list[Event] = []


class Batch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One datagram to the exporter. `dropped`: spans of this process that were lost since its last one arrived."""

    service: str
    dropped: int
    spans: list[Span]


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What became of spans: `exported` (a collector has them), `failed` (none took them), `dropped` (no room)."""

    exported: int = 0
    failed: int = 0
    dropped: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(self.exported + other.exported, self.failed + other.failed, self.dropped + other.dropped)


def is_sampled(traceparent: str | None) -> bool:
    """Whether spans of this trace are wanted: all that a message costs that is not sampled."""
    return traceparent is not None and traceparent[-1:] in _SAMPLED and len(traceparent) == _LENGTH


def send_id(message_id: str) -> str:
    """The span by which a message was accepted."""
    return _derived(message_id, b"send")


def process_id(message_id: str) -> str:
    """The span of the execution that ended a message; attempts before it have ids of their own."""
    return _derived(message_id, b"process")


def within(traceparent: str | None, message_id: str) -> str | None:
    """The context of what is sent while `message_id`, which came with `traceparent`, is handled."""
    if traceparent is None or not is_sampled(traceparent):
        return traceparent
    version, trace_id, _, flags = traceparent.split("-", 3)
    return f"{version}-{trace_id}-{process_id(message_id)}-{flags}"


def _derived(message_id: str, what: bytes) -> str:
    return blake2b(message_id.encode(), digest_size=8, person=what).hexdigest()
