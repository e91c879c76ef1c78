"""What of an outbox is sent next: messages for agents that live elsewhere, in order, in batches, paced.

Owns the order, the windows and the pauses between attempts. Must never read a clock or send anything: the simulation
runs it as it is.

For one receiver and one node there is at most one batch under way. An agent without durable state has several nodes:
a conversation of which something is under way waits for that, should its owner be another node meanwhile; so the
order within a conversation holds whatever the members do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

BATCH_ITEMS: Final = 256
BATCH_BYTES: Final = 1024 * 1024
BATCHES_PER_NODE: Final = 16
"""Under way to one node at the same time, each of another receiver."""
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
_LOOKED_AT: Final = 2_048  # messages of one receiver that are looked at for one round: the others wait for the next


class Item(Protocol):
    """What has to be known of a message; `router.mailbox.Entry` is one."""

    @property
    def message_id(self) -> str:
        """Its id."""

    @property
    def agent(self) -> str:
        """Its receiver."""

    @property
    def conversation_id(self) -> str:
        """Within it the order holds."""

    @property
    def size(self) -> int:
        """In bytes."""


One = TypeVar("One", bound=Item)
Place = Callable[[One], str | None]
"""The node that a message should go to now; None: there is none that could be reached."""


@dataclass(slots=True, eq=False)
class Batch(Generic[One]):
    """Messages for one receiver, in order, on their way to one node."""

    receiver: str
    node: str
    items: list[One]


@dataclass(slots=True, eq=False)
class _Queue(Generic[One]):
    """All that waits for one receiver, what is under way included."""

    items: OrderedDict[str, One] = field(default_factory=OrderedDict)
    under_way: dict[str, Batch[One]] = field(default_factory=dict)
    rests_until: float = 0.0
    pause: float = 0.0


class Outbox(Generic[One]):
    """All queues of a node. Times are seconds of whatever clock the caller goes by."""

    def __init__(self, batch_items: int = BATCH_ITEMS, batches_per_node: int = BATCHES_PER_NODE) -> None:
        self._queues: dict[str, _Queue[One]] = {}
        self._per_node: dict[str, int] = {}
        self._batch_items = batch_items
        self._batches_per_node = batches_per_node
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def count(self, receiver: str) -> int:
        """How many messages wait for this receiver, or are under way to it."""
        queue = self._queues.get(receiver)
        return 0 if queue is None else len(queue.items)

    def receivers(self) -> dict[str, int]:
        """How many messages there are for each receiver."""
        return {receiver: len(queue.items) for receiver, queue in self._queues.items()}

    def items(self, receiver: str) -> Iterator[One]:
        """Everything for a receiver, in order."""
        queue = self._queues.get(receiver)
        return iter(() if queue is None else list(queue.items.values()))

    def put(self, item: One) -> None:
        """Behind everything for its receiver; the same id twice is one."""
        queue = self._queues.setdefault(item.agent, _Queue())
        if item.message_id not in queue.items:
            queue.items[item.message_id] = item
            self._count += 1

    def remove(self, item: One) -> bool:
        """It is not to be sent any more; False when it was not here. Under way, it stays so until its batch ends."""
        queue = self._queues.get(item.agent)
        if queue is None or queue.items.pop(item.message_id, None) is None:
            return False
        self._count -= 1
        self._forget_if_empty(item.agent, queue)
        return True

    def is_under_way(self, item: One) -> bool:
        """Whether it is in a batch that has not ended."""
        queue = self._queues.get(item.agent)
        return queue is not None and any(item in batch.items for batch in queue.under_way.values())

    def take_all(self, receiver: str) -> list[One]:
        """Everything for a receiver that is not under way, removed: it is no longer for another node to handle."""
        queue = self._queues.get(receiver)
        if queue is None:
            return []
        away = {item.message_id for batch in queue.under_way.values() for item in batch.items}
        taken = [item for item in queue.items.values() if item.message_id not in away]
        for item in taken:
            self.remove(item)
        return taken

    # ---- sending -----------------------------------------------------------------------------------

    def ready(self, now: float, place: Place[One]) -> list[Batch[One]]:
        """The batches to be sent now; each is under way until `ended`."""
        found: list[Batch[One]] = []
        for receiver, queue in self._queues.items():
            if queue.items and queue.rests_until <= now:
                begun = self._batches(receiver, queue, place)
                if not begun and not queue.under_way:
                    self._rest(queue, now)
                found += begun
        return found

    def ended(self, batch: Batch[One], there: Iterable[One], now: float) -> None:
        """The other node has answered: `there` it has, or will never have, and what is left is tried again.

        Nothing at all there: the whole batch failed.
        """
        queue = self._queues[batch.receiver]
        del queue.under_way[batch.node]
        self._per_node[batch.node] -= 1
        for item in there:
            if queue.items.pop(item.message_id, None) is not None:
                self._count -= 1
        if any(item.message_id in queue.items for item in batch.items):
            self._rest(queue, now)
        else:
            queue.pause = queue.rests_until = 0.0
        self._forget_if_empty(batch.receiver, queue)

    def wake(self) -> None:
        """Members or homes have changed: everything is tried again at once."""
        for queue in self._queues.values():
            queue.pause = queue.rests_until = 0.0

    def next_try(self) -> float | None:
        """When the next pause ends; None: nothing waits for one."""
        waiting = [queue.rests_until for queue in self._queues.values() if queue.items and queue.rests_until > 0.0]
        return min(waiting, default=None)

    def _batches(self, receiver: str, queue: _Queue[One], place: Place[One]) -> list[Batch[One]]:
        made: dict[str, Batch[One]] = {}
        sizes: dict[str, int] = {}
        waiting = {item.conversation_id for batch in queue.under_way.values() for item in batch.items}
        away = {item.message_id for batch in queue.under_way.values() for item in batch.items}
        for looked_at, item in enumerate(queue.items.values()):
            if looked_at >= _LOOKED_AT + len(away):
                break
            if item.message_id in away:
                continue
            node = None if item.conversation_id in waiting else place(item)
            batch = None if node is None else self._open(receiver, queue, made, node)
            if batch is None or not self._fits(batch, sizes, item):
                waiting.add(item.conversation_id)  # what follows it may not pass it
                continue
            batch.items.append(item)
            sizes[batch.node] = sizes.get(batch.node, 0) + item.size
        return [self._begin(queue, batch) for batch in made.values() if batch.items]

    def _open(self, receiver: str, queue: _Queue[One], made: dict[str, Batch[One]], node: str) -> Batch[One] | None:
        if node in queue.under_way:
            return None
        if node not in made:
            if self._per_node.get(node, 0) >= self._batches_per_node:
                return None
            made[node] = Batch(receiver, node, [])
        return made[node]

    def _fits(self, batch: Batch[One], sizes: dict[str, int], item: One) -> bool:
        if not batch.items:
            return True
        return len(batch.items) < self._batch_items and sizes[batch.node] + item.size <= BATCH_BYTES

    def _begin(self, queue: _Queue[One], batch: Batch[One]) -> Batch[One]:
        queue.under_way[batch.node] = batch
        self._per_node[batch.node] = self._per_node.get(batch.node, 0) + 1
        return batch

    def _rest(self, queue: _Queue[One], now: float) -> None:
        queue.pause = min(max(queue.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        queue.rests_until = now + queue.pause

    def _forget_if_empty(self, receiver: str, queue: _Queue[One]) -> None:
        if not queue.items and not queue.under_way:
            self._queues.pop(receiver, None)
