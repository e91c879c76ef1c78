"""The spans of a message in the router: `send AGENT`, `forward AGENT`, `process AGENT`, `commit`, and its agent's
requests to the world.

Owns their names and attributes (OpenTelemetry's conventions for messaging; what those do not name begins with
`caxton.`). Must never cost a message that is not sampled more than one look at its traceparent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from caxton.protocol.errors import CaxtonError
from caxton.protocol.execution import Result
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.protocol.spans import Attributes, Event, Kind, Span, is_sampled, process_id, send_id
from caxton.router.boxes import Flight, execution_id
from caxton.router.mailbox import Entry, Place
from caxton.router.tracing.lines import NOT_RUN, attempt
from caxton.store import CommitResult, HttpCallRow
from caxton.telemetry.spans import recorder

_NANOS: Final = 1_000_000_000
_DETAIL_CHARACTERS: Final = 200


def sent(entry: Entry) -> None:
    """A message is in its mailbox: durable, unless it is ephemeral."""
    own, message = recorder(), entry.message
    if own is None or message is None or not is_sampled(message.traceparent):
        return
    assert message.traceparent is not None
    _, trace_id, parent, _ = message.traceparent.split("-")
    span_id = send_id(message.message_id)
    more: Attributes = {"caxton.sender": message.sender, "caxton.delivery": entry.delivery}
    now = time.time_ns()
    own.record(
        Span(
            trace_id,
            span_id,
            None if parent == span_id else parent,  # a timer's: nobody sent it, its trace begins here
            f"send {message.receiver}",
            Kind.PRODUCER,
            min(_nanos(entry.accepted_at), now),  # another node's clock may have said when
            now,
            _messaging(message, "send") | more,
        )
    )


def forwarded(message: Message, node: str, began: int, error: str | None = None) -> None:
    """Another node has the message, or has refused it; `began` in nanoseconds since the epoch."""
    own = recorder()
    if own is None or not is_sampled(message.traceparent):
        return
    assert message.traceparent is not None
    _, trace_id, parent, _ = message.traceparent.split("-")
    attributes = _messaging(message, "forward") | {"caxton.node": node}
    if error is not None:
        attributes["error.type"] = error
    span_id, name, now = _random_id(), f"forward {message.receiver}", time.time_ns()
    own.record(Span(trace_id, span_id, parent, name, Kind.CLIENT, min(began, now), now, attributes, error))


@contextmanager
def passing(messages: Sequence[Message], node: str) -> Iterator[None]:
    """Another node is asked meanwhile to take these."""
    began, error = time.time_ns(), None
    try:
        yield
    except CaxtonError as refusal:
        error = refusal.code.value
        raise
    finally:
        for message in messages:
            forwarded(message, node, began, error)


def processed(flight: Flight, result: Result) -> Callable[[CommitResult], None] | None:
    """An execution has ended and its message is settled; what to call when that is durable."""
    own, message, entry = recorder(), flight.reply_to, flight.entry
    if own is None or message is None or entry is None or not is_sampled(message.traceparent):
        return None
    if result.status == NOT_RUN:
        return None
    assert message.traceparent is not None
    trace_id = message.traceparent.split("-")[1]
    usage = result.usage
    attributes = _messaging(message, "process")
    attributes["caxton.execution.id"] = execution_id(flight)
    attributes["caxton.cpu_seconds"] = usage.cpu_seconds
    attributes["caxton.peak_memory_bytes"] = usage.peak_memory_bytes
    if usage.fuel is not None:
        attributes["caxton.fuel"] = usage.fuel
    error = None
    failed = result.status == "error"
    if result.status != "ok":
        attributes["error.type"] = str(result.code or result.status)
        # Only an error's detail is the node's own words: a failure's ends with what the program wrote to stderr.
        error = ((result.detail if failed else None) or result.status)[:_DETAIL_CHARACTERS]
    return _attempt(flight, trace_id, attributes, error, failed=failed)


def lost(flight: Flight, reason: str) -> None:
    """The worker ended under an execution, and what becomes of its message is decided."""
    own, message = recorder(), flight.reply_to
    if own is None or message is None or flight.entry is None or not is_sampled(message.traceparent):
        return
    assert message.traceparent is not None
    attributes = _messaging(message, "process")
    attributes["error.type"] = reason
    _attempt(flight, message.traceparent.split("-")[1], attributes, "its worker ended", failed=True)


def fetched(flight: Flight, span_id: str, call: HttpCallRow) -> None:
    """An agent's outbound request is over; the other side was told `span_id` as its parent."""
    own, message = recorder(), flight.reply_to
    if own is None or message is None or not is_sampled(message.traceparent):
        return
    assert message.traceparent is not None
    attributes: Attributes = {"http.request.method": call.method or "_OTHER", "caxton.agent": call.agent}
    host = urlsplit(call.url).hostname
    if host:
        attributes["server.address"] = host
    if call.status is not None:
        attributes["http.response.status_code"] = call.status
    error = None if call.error is None else call.error.partition(":")[0]  # the rest may hold a path
    if error is not None:
        attributes["error.type"] = error
    trace_id, parent = message.traceparent.split("-")[1], process_id(message.message_id)
    name, start = call.method or "HTTP", _nanos(call.at)
    own.record(Span(trace_id, span_id, parent, name, Kind.CLIENT, start, time.time_ns(), attributes, error))


def _attempt(
    flight: Flight, trace_id: str, attributes: Attributes, error: str | None, *, failed: bool
) -> Callable[[CommitResult], None] | None:
    """`failed`: the message is tried again or dead; an agent's own failure and a cancellation settle it."""
    own, message, entry = recorder(), flight.reply_to, flight.entry
    assert own is not None
    assert message is not None
    assert entry is not None
    now = time.time_ns()
    is_last = entry.place is Place.GONE
    attributes["caxton.attempt"] = attempt(entry, failed=failed)
    attributes["caxton.queue_seconds"] = max(0.0, flight.dispatched_at - entry.accepted_at)
    events = []
    if failed:
        events.append(Event("message.dead" if is_last else "message.retry", now))
    # Only what ended a message has sent anything, so only that has an id that others can know.
    span_id = process_id(message.message_id) if is_last else _random_id()
    name = f"process {message.receiver}"
    start = _nanos(flight.dispatched_at)
    parent = send_id(message.message_id)
    own.record(Span(trace_id, span_id, parent, name, Kind.CONSUMER, start, now, attributes, error, events))
    return partial(_durable, trace_id, span_id, now) if is_last else None


def _durable(trace_id: str, parent: str, start: int, result: CommitResult) -> None:
    """What the execution did is on disk; or it is not, and the router ends."""
    own = recorder()
    if own is None:
        return
    error = None if result.error is None else "the store failed"
    span_id = _random_id()
    own.record(Span(trace_id, span_id, parent, "commit", Kind.INTERNAL, start, time.time_ns(), error=error))


def _messaging(message: Message, operation: str) -> Attributes:
    return {
        "messaging.system": "caxton",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": message.receiver,
        "messaging.message.id": message.message_id,
        "messaging.message.conversation_id": message.conversation_id,
        "messaging.message.body.size": len(message.content),
    }


def _random_id() -> str:
    return new_id().replace("-", "")[-16:]


def _nanos(seconds: float) -> int:
    return int(seconds * _NANOS)
