"""The order in which one agent gets its messages.

Owns a pure data structure: conversations as queues, the heads that may run now by priority, the heads
that wait for a retry, and deadlines; every operation is O(log n). Must never do I/O, read a clock or
know what an agent is.

Rules (spec/messages.md): within a conversation the order of acceptance; between conversations priority
10 before 1, then the order of acceptance; a message that waits for its retry, or is being handled, holds
up its own conversation only.

While two versions of the agent take messages, conversations are split into two lanes; one conversation is never
in both, so the order holds across a change of versions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from heapq import heapify, heappop, heappush

import msgspec

from caxton.protocol.messages import Message

MAIN = 0
SIDE = 1
"""The lanes: everything is in the first unless the mailbox is split."""
LaneOf = Callable[[str], int]
_SLACK = 64  # heaps may hold this many stale entries (and as many as live ones) before they are rebuilt


class Place(IntEnum):
    """Where an entry is."""

    WAITING = 0
    """Behind another message of its conversation."""
    READY = 1
    BACKOFF = 2
    OUT = 3
    """Taken: it is being handled."""
    GONE = 4
    AWAY = 5
    """In no mailbox: another node handles it."""


class Entry(msgspec.Struct, gc=False, eq=False):
    """One message in a mailbox. `message` is None when its body is only on disk; `size` is in bytes.

    `delivery`: `durable`, `ephemeral`, or `request` (durable, and its reply goes to the execution that
    waits). `attempts` counts failed deliveries; `kills` how often its worker died of an unknown cause; `handed`: it
    came with its agent, from the old home.
    """

    message_id: str
    agent: str
    conversation_id: str
    priority: int
    reply_by: float | None
    sender: str
    size: int
    message: Message | None
    delivery: str
    digest: bytes
    accepted_at: float
    idempotent: bool = False
    attempts: int = 0
    kills: int = 0
    sequence: int = 0
    ready_at: float = 0.0
    place: Place = Place.WAITING
    lane: int = MAIN
    watched: bool = False
    exec_id: int = 0
    cancelled: bool = False
    handed: bool = False


class Mailbox:
    """The messages of one agent that are not settled yet, those being handled included."""

    __slots__ = (
        "_conversations",
        "_deadlines",
        "_delayed",
        "_held",
        "_lane_of",
        "_ready",
        "_ready_count",
        "_sequence",
        "byte_count",
        "count",
        "out",
    )

    def __init__(self) -> None:
        self._conversations: dict[str, deque[Entry]] = {}
        self._ready: tuple[list[tuple[int, int, Entry]], ...] = ([], [])
        self._lane_of: LaneOf | None = None
        self._delayed: list[tuple[float, int, Entry]] = []
        self._deadlines: list[tuple[float, int, Entry]] = []
        self._ready_count = [0, 0]
        self._held: set[str] = set()
        self._sequence = 0
        self.count = 0
        """Entries, those being handled included."""
        self.out = 0
        """Entries being handled."""
        self.byte_count = 0

    @property
    def has_ready(self) -> bool:
        """Whether an entry may be taken, of whichever lane."""
        return any(self._ready_count)

    def ready_in(self, lane: int) -> bool:
        """Whether `take` would give an entry of this lane."""
        return self._ready_count[lane] > 0

    def lane(self, conversation_id: str) -> int:
        """The lane of a conversation."""
        return MAIN if self._lane_of is None else self._lane_of(conversation_id)

    def split(self, lane_of: LaneOf | None) -> None:
        """From now on a conversation's lane is what `lane_of` says, for those that wait too; None: all `MAIN`."""
        self._lane_of = lane_of
        ready = {e.sequence: e for lane in self._ready for _, _, e in lane if e.place is Place.READY}  # each once
        self._ready, self._ready_count = ([], []), [0, 0]
        for entry in ready.values():
            self._make_ready(entry)

    def put(self, entry: Entry) -> None:
        """Adds an entry behind everything of its conversation. With `ready_at` it first waits for its retry."""
        self._number(entry)
        queue = self._conversations.get(entry.conversation_id)
        if queue is not None:
            entry.place = Place.WAITING
            queue.append(entry)
            return
        self._conversations[entry.conversation_id] = deque((entry,))
        self._lead(entry)

    def put_first(self, entry: Entry) -> None:
        """Adds an entry before everything of its conversation that is not out."""
        self._insert(entry, lambda other: other.place is Place.OUT)

    def put_behind_handed(self, entry: Entry) -> None:
        """The same, but behind what came with the agent: that is older."""
        self._insert(entry, lambda other: other.place is Place.OUT or other.handed)

    def _insert(self, entry: Entry, is_before: Callable[[Entry], bool]) -> None:
        queue = self._conversations.get(entry.conversation_id, ())
        at = next((number for number, other in enumerate(queue) if not is_before(other)), len(queue))
        if not isinstance(queue, deque) or at == len(queue):
            self.put(entry)
            return
        self._number(entry)
        first = queue[0]
        queue.insert(at, entry)
        entry.place = Place.WAITING
        if at == 0:
            if first.place is Place.READY:
                self._ready_count[first.lane] -= 1
            first.place = Place.WAITING
            self._lead(entry)

    def _number(self, entry: Entry) -> None:
        self._sequence += 1
        entry.sequence = self._sequence
        self.count += 1
        self.byte_count += entry.size
        self._watch(entry)

    def hold(self, conversation_id: str) -> None:
        """Whatever of this conversation is not out stays where it is until `release`."""
        self._held.add(conversation_id)

    def release(self, conversation_id: str) -> None:
        """The conversation goes on."""
        self._held.discard(conversation_id)
        queue = self._conversations.get(conversation_id)
        if queue and queue[0].place is Place.WAITING:
            self._lead(queue[0])

    def take(self, lane: int = MAIN) -> Entry | None:
        """The entry that comes next, now `OUT`; its conversation waits until it is settled or put back."""
        ready = self._ready[lane]
        while ready:
            entry = heappop(ready)[2]
            if entry.place is Place.READY:
                entry.place = Place.OUT
                self._ready_count[lane] -= 1
                self.out += 1
                return entry
        return None

    def peek(self, lane: int = MAIN) -> Entry | None:
        """What `take` would give."""
        ready = self._ready[lane]
        while ready and ready[0][2].place is not Place.READY:
            heappop(ready)
        return ready[0][2] if ready else None

    def settle(self, entry: Entry) -> None:
        """An entry that was out is finished; its conversation goes on."""
        self.out -= 1
        self._drop(entry)

    def put_back(self, entry: Entry) -> None:
        """An entry that was out is the head of its conversation again, as if it had never been taken."""
        self.out -= 1
        self._watch(entry)
        self._make_ready(entry)

    def back_off(self, entry: Entry, until: float) -> None:
        """An entry that was out waits for its retry at `until`, and its conversation with it."""
        self.out -= 1
        entry.ready_at = until
        self._watch(entry)
        self._delay(entry)

    def remove(self, entry: Entry) -> None:
        """Takes an entry that is not out away for good; the others of its conversation keep their order."""
        self._drop(entry)

    def wake(self, now: float) -> None:
        """Makes the entries ready whose retry is due."""
        delayed = self._delayed
        while delayed and (delayed[0][0] <= now or delayed[0][2].place is not Place.BACKOFF):
            entry = heappop(delayed)[2]
            if entry.place is Place.BACKOFF:
                self._make_ready(entry)

    def expired(self, now: float) -> list[Entry]:
        """The entries not being handled whose deadline has passed, removed from the mailbox."""
        found: list[Entry] = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            entry = heappop(deadlines)[2]
            entry.watched = False
            if entry.place is Place.OUT or entry.place is Place.GONE:
                continue  # one that is out was started in time; should it come back, it is watched again
            found.append(entry)
            self._drop(entry)
        return found

    def next_event(self) -> float | None:
        """When `wake` or `expired` next has something to do (may be early, never late); None = never."""
        delayed, deadlines = self._delayed, self._deadlines
        if not deadlines:
            return delayed[0][0] if delayed else None  # asked for every message: most have neither
        return min(delayed[0][0], deadlines[0][0]) if delayed else deadlines[0][0]

    def entries(self) -> list[Entry]:
        """All entries in order of acceptance."""
        live = [entry for queue in self._conversations.values() for entry in queue if entry.place is not Place.GONE]
        return sorted(live, key=lambda entry: entry.sequence)

    def head(self, conversation_id: str) -> Entry | None:
        """The entry that its conversation waits for."""
        queue = self._conversations.get(conversation_id)
        return queue[0] if queue else None

    def _watch(self, entry: Entry) -> None:
        if entry.reply_by is not None and not entry.watched:
            entry.watched = True
            heappush(self._deadlines, (entry.reply_by, entry.sequence, entry))

    def _lead(self, entry: Entry) -> None:
        """The entry has become the head of its conversation."""
        if entry.conversation_id in self._held:
            entry.place = Place.WAITING
        elif entry.ready_at > 0.0:
            self._delay(entry)
        else:
            self._make_ready(entry)

    def _make_ready(self, entry: Entry) -> None:
        entry.place = Place.READY
        entry.ready_at = 0.0
        lane = entry.lane = self.lane(entry.conversation_id)
        self._ready_count[lane] += 1
        heappush(self._ready[lane], (-entry.priority, entry.sequence, entry))

    def _delay(self, entry: Entry) -> None:
        entry.place = Place.BACKOFF
        heappush(self._delayed, (entry.ready_at, entry.sequence, entry))

    def _drop(self, entry: Entry) -> None:
        if entry.place is Place.READY:
            self._ready_count[entry.lane] -= 1
        entry.place = Place.GONE
        self.count -= 1
        self.byte_count -= entry.size
        queue = self._conversations[entry.conversation_id]
        if queue[0] is entry:
            self._advance(entry.conversation_id, queue)
        self._compact()

    def _advance(self, conversation_id: str, queue: deque[Entry]) -> None:
        while queue and queue[0].place is Place.GONE:
            queue.popleft()
        if queue:
            self._lead(queue[0])
        else:
            del self._conversations[conversation_id]

    def _compact(self) -> None:
        """Rebuilds a heap that holds mostly entries long gone, so that memory follows the live ones."""
        bound = 2 * self.count + _SLACK
        if len(self._deadlines) > bound:
            self._deadlines = [item for item in self._deadlines if item[2].place is not Place.GONE]
            heapify(self._deadlines)
        for ready in self._ready:
            if len(ready) > bound:
                ready[:] = [item for item in ready if item[2].place is Place.READY]
                heapify(ready)
        if len(self._delayed) > bound:
            self._delayed = [item for item in self._delayed if item[2].place is Place.BACKOFF]
            heapify(self._delayed)


def is_late(entry: Entry, now: float) -> bool:
    """Whether the entry may not be started any more."""
    return entry.reply_by is not None and entry.reply_by <= now
