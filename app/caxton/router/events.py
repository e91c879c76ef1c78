"""The node's events: a bounded ring, and subscribers that read from it at their own pace.

Owns event ids and who gets what. Must never block or slow the one who publishes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.views import NodeEvent
from caxton.router.timing.times import rfc3339

RING_SIZE: Final = 10_000
QUEUE_SIZE: Final = 1_000
MAX_PATTERNS: Final = 32
MAX_PATTERN_LENGTH: Final = 128
LAGGED: Final = "stream.lagged"
BEGAN: Final = "stream.began"
Visible = Callable[[dict[str, Any]], bool]
"""Whether a reader may see an event with this data."""
Permitted = Callable[[str], bool]
"""Whether a reader may see events of this type at all."""


def _anything(_: object) -> bool:
    return True


class Subscription:
    """One reader's queue. When it overflows, the reader gets what is queued, then the lagged marker, then the end."""

    def __init__(
        self,
        patterns: Iterable[str],
        size: int,
        visible: Visible = _anything,
        permitted: Permitted = _anything,
    ) -> None:
        self._patterns = tuple(patterns)
        self._visible = visible
        self._permitted = permitted
        self._wanted: dict[str, bool] = {}
        self._queue: deque[NodeEvent] = deque()
        self._size = size
        self._wake = asyncio.Event()
        self.lagged = False
        self.closed = False

    def matches(self, event: NodeEvent) -> bool:
        """Whether one of the globs fits the event's type, and the reader may see it."""
        wanted = self._wanted.get(event.type)
        if wanted is None:  # types are few: 32 globs for each of 10,000 held events would stop the node for 0.2 s
            wanted = any(fnmatchcase(event.type, one) for one in self._patterns) and self._permitted(event.type)
            self._wanted[event.type] = wanted
        return wanted and self._visible(event.data)

    def offer(self, event: NodeEvent) -> None:
        """Queues an event that matches; never blocks, never grows past the bound."""
        if self.lagged or not self.matches(event):
            return
        if len(self._queue) >= self._size:
            self.lagged = True
        else:
            self._queue.append(event)
        self._wake.set()

    def preload(self, events: Iterable[NodeEvent]) -> None:
        """Queues held events before the stream goes live; bounded by the ring, not by the queue."""
        self._queue.extend(events)

    def close(self) -> None:
        """Ends the stream after what is queued."""
        self.closed = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[NodeEvent]:
        last = 0
        while True:
            while self._queue:
                event = self._queue.popleft()
                last = event.id
                yield event
            if self.lagged:
                yield marker(last)
                return
            if self.closed:
                return
            self._wake.clear()
            await self._wake.wait()


def marker(last_id: int) -> NodeEvent:
    """Says that events after `last_id` were not delivered; a client subscribes again from that id."""
    return NodeEvent(last_id, LAGGED, rfc3339(time.time()), {"last_id": last_id})


class EventBus:
    """Publishes events. Ids start at the microseconds of the clock, so they grow across restarts too."""

    def __init__(self, ring_size: int = RING_SIZE, queue_size: int = QUEUE_SIZE) -> None:
        self._ring: deque[NodeEvent] = deque(maxlen=ring_size)
        self._queue_size = queue_size
        self._subscriptions: set[Subscription] = set()
        self._next_id = time.time_ns() // 1_000

    @property
    def last_id(self) -> int:
        """The id of the newest event."""
        return self._next_id - 1

    @property
    def subscribers(self) -> int:
        """How many streams are open."""
        return len(self._subscriptions)

    def publish(self, type_: str, data: dict[str, Any]) -> None:
        """Puts one event into the ring and offers it to every subscriber."""
        event = NodeEvent(self._next_id, type_, rfc3339(time.time()), data)
        self._next_id += 1
        self._ring.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)

    def subscribe(
        self,
        patterns: list[str],
        last_id: int | None = None,
        visible: Visible = _anything,
        permitted: Permitted = _anything,
    ) -> Subscription:
        """A stream of what matches, from after `last_id`; events that are no longer held give a marker first."""
        check_patterns(patterns)
        subscription = Subscription(patterns, self._queue_size, visible, permitted)
        if last_id is not None:
            self._replay(subscription, last_id)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a stream; ending twice is no error."""
        self._subscriptions.discard(subscription)

    def beginning(self) -> NodeEvent:
        """Says after which event a stream begins that is subscribed to now."""
        return NodeEvent(self.last_id, BEGAN, rfc3339(time.time()), {})

    def close(self) -> None:
        """Ends all streams, after what they have queued."""
        for subscription in self._subscriptions:
            subscription.close()

    def _replay(self, subscription: Subscription, last_id: int) -> None:
        oldest = self._ring[0].id if self._ring else self._next_id
        if last_id + 1 < oldest:
            subscription.preload([marker(last_id)])
        subscription.preload(event for event in self._ring if event.id > last_id and subscription.matches(event))


def check_patterns(patterns: list[str]) -> None:
    """`INVALID_REQUEST` unless there are 1 to 32 globs of at most 128 characters."""
    if not 1 <= len(patterns) <= MAX_PATTERNS or any(not 0 < len(p) <= MAX_PATTERN_LENGTH for p in patterns):
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "types: give 1 to 32 patterns of 1 to 128 characters, such as agent.* or message.dead",
            path="types",
            found=len(patterns),
        )
