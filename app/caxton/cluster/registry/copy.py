"""One node's copy of the registry: the latest record of everything, and how far it has seen each writer's changes.

Owns the rule by which copies become equal: of two records the one of the higher rank (`epochs`) stays. For every
writer `w` with `vector()[w] = h` this copy has each change of `w` up to `h`, or what replaced it: copies with equal
vectors are equal. Must never look at a body but for its epoch, and never advance the vector by a part of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import nsmallest
from itertools import count
from typing import Final

from caxton.cluster.registry.clock import Clock, milliseconds_of, reading
from caxton.cluster.registry.epochs import epoch_of, rank
from caxton.cluster.registry.index import Key, WriterIndex
from caxton.protocol.peers import Delta, Record, Seen

KEEP_SECONDS: Final = 7 * 86_400.0
"""How old a tombstone is at least before it is let go."""
PAGE_BYTES: Final = 1_000_000
"""Bodies of one page; a record that is larger comes alone."""


class Registry:
    """To be filled with `load`. `life` tells one run of this node from another: cursors are of one life."""

    def __init__(self, node_id: str, clock: Clock, life: str = "") -> None:
        self.node_id = node_id
        self._clock = clock
        self._life = life or f"{clock.tick():x}"
        self._records: dict[Key, Record] = {}
        self._kinds: dict[str, dict[str, Record]] = {}
        """The living, by kind."""
        self._tombs: dict[Key, Record] = {}
        self._writers: dict[str, WriterIndex] = {}
        self._vector: dict[str, int] = {}
        self._collected: dict[str, int] = {}
        self._arrived: dict[Key, int] = {}
        self._arrivals = count(1)
        self._digest = 0
        self._members: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def load(self, records: Iterable[Record], seen: Iterable[Seen]) -> None:
        """What an earlier life kept."""
        for record in records:
            self._set(record)
            self._clock.observe(record.hlc)
            if record.writer == self.node_id:
                self._vector[self.node_id] = max(self._vector.get(self.node_id, 0), record.hlc)
        for one in seen:
            self._advance(self._vector, one.writer, one.upto)
            if one.collected:
                self._advance(self._collected, one.writer, one.collected)
        self._clock.observe(self._vector.get(self.node_id, 0))

    # ---- this node's own changes -------------------------------------------------------------------

    def epoch(self) -> int:
        """The epoch of a deployment that begins now: above all that this copy has seen of the name."""
        return milliseconds_of(self._clock.tick())

    def put(self, kind: str, name: str, body: bytes) -> Record:
        """This node's word on it, from now on; of an epoch no lower than that of the record that holds."""
        return self._own(kind, name, body)

    def remove(self, kind: str, name: str) -> Record:
        """A tombstone, whether or not there was anything."""
        return self._own(kind, name, None)

    def _own(self, kind: str, name: str, body: bytes | None) -> Record:
        self._clock.observe(reading(epoch_of(kind, body)))  # no record is older than its epoch
        record = Record(kind, name, self._clock.tick(), self.node_id, body)
        self._set(record)
        self._vector[self.node_id] = record.hlc
        return record

    # ---- looking -----------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> Record | None:
        """The living record."""
        return self._kinds.get(kind, {}).get(name)

    def last(self, kind: str, name: str) -> Record | None:
        """The record, or the tombstone."""
        return self._records.get((kind, name))

    def of_kind(self, kind: str) -> list[Record]:
        """The living ones of a kind, by name."""
        return [record for _, record in sorted(self._kinds.get(kind, {}).items())]

    def records(self) -> list[Record]:
        """All, tombstones too."""
        return list(self._records.values())

    def tombstones(self) -> list[Record]:
        """What was removed and is not forgotten yet."""
        return list(self._tombs.values())

    def vector(self) -> dict[str, int]:
        """Up to where each writer's changes are here."""
        return dict(self._vector)

    def seen(self) -> list[Seen]:
        """What is to be kept beside the records."""
        return [Seen(writer, upto, self._collected.get(writer, 0)) for writer, upto in self._vector.items()]

    def digest(self) -> str:
        """16 hex digits: equal where the living records are (tombstones go at different moments)."""
        return f"{self._digest:016x}"

    # ---- becoming equal ----------------------------------------------------------------------------

    def merge(self, records: Iterable[Record]) -> list[Record]:
        """Takes over what outranks what is here; gives those that did. In any order, any number of times.

        A record of a clock that is far ahead is passed over: see `ahead`.
        """
        changed = []
        for record in records:
            if self._clock.ahead(record.hlc):
                continue
            self._clock.observe(record.hlc)
            known = self._records.get((record.kind, record.name))
            if known is None or rank(record) > rank(known):
                self._set(record)
                changed.append(record)
        return changed

    def ahead(self, record: Record) -> bool:
        """Whether its writer's clock is more than a minute ahead of ours."""
        return self._clock.ahead(record.hlc)

    def delta(self, vector: Mapping[str, int], limit: int = 1_000, cursor: str = "") -> Delta:
        """A page of what a copy with this vector lacks, in the order in which it came here.

        What changes between two pages comes on a later one. The asker's vector moves with the last page only: a page
        may lack what replaced a record of it.
        """
        missed = {writer: upto for writer, upto in self._collected.items() if vector.get(writer, 0) < upto}
        after = self._position(cursor)
        lacking = [key for key in self._lacking(vector) if self._arrived[key] > after]
        page = self._page(nsmallest(max(1, limit), lacking, key=self._arrived.__getitem__))
        more = len(page) < len(lacking)
        return Delta(
            records=page,
            vector={} if more else {one: upto for one, upto in self._vector.items() if upto > vector.get(one, 0)},
            more=more,
            cursor=f"{self._life}.{self._arrived[page[-1].kind, page[-1].name]}" if more else "",
            covers=all(self._vector.get(writer, 0) >= upto for writer, upto in vector.items()),
            missed=missed,
            digest=self.digest(),
        )

    def advance(self, vector: Mapping[str, int], collected: Mapping[str, int] | None = None) -> None:
        """All of an answer is here: its vector holds for this copy too."""
        for writer, upto in vector.items():
            self._advance(self._vector, writer, upto)
        for writer, upto in (collected or {}).items():
            self._advance(self._collected, writer, upto)

    def remember(self, vector: Mapping[str, int]) -> None:
        """Another copy's vector says how far this node was in a life that its database does not remember."""
        self._clock.observe(vector.get(self.node_id, 0))

    def discard(self, key: Key) -> Record:
        """The others removed it, and forgot that: it is removed here too, with the stamp that it has."""
        record = self._records[key]
        tomb = Record(record.kind, record.name, record.hlc, record.writer, None)
        self._set(tomb)
        return tomb

    # ---- tombstones --------------------------------------------------------------------------------

    def heard(self, member: str, vector: Mapping[str, int]) -> None:
        """How far another member is."""
        self._members[member] = dict(vector)

    def collect(self, members: Iterable[str]) -> list[Record]:
        """Lets tombstones go that are a week old and that every member has seen; gives them."""
        others = [self._members.get(member, {}) for member in members if member != self.node_id]
        old = self._clock.before(KEEP_SECONDS)
        gone = [
            tomb
            for tomb in self._tombs.values()
            if tomb.hlc < old and all(vector.get(tomb.writer, 0) >= tomb.hlc for vector in others)
        ]
        for tomb in gone:
            self._advance(self._collected, tomb.writer, tomb.hlc)
            self._drop((tomb.kind, tomb.name))
        return gone

    # ---- inside ------------------------------------------------------------------------------------

    def _set(self, record: Record) -> None:
        key = (record.kind, record.name)
        known = self._records.get(key)
        if known is not None:
            self._drop(key)
        self._records[key] = record
        self._arrived[key] = next(self._arrivals)
        self._writers.setdefault(record.writer, WriterIndex()).add(record.hlc, key)
        if record.body is None:
            self._tombs[key] = record
        else:
            self._kinds.setdefault(record.kind, {})[record.name] = record
            self._digest ^= _mark(record)

    def _drop(self, key: Key) -> None:
        record = self._records.pop(key)
        del self._arrived[key]
        if self._tombs.pop(key, None) is None:
            del self._kinds[record.kind][record.name]
            self._digest ^= _mark(record)
        index = self._writers[record.writer]
        if index.replaced():
            index.compact(entry for entry in list(index) if self._in_force(record.writer, *entry))

    def _in_force(self, writer: str, hlc: int, key: Key) -> bool:
        record = self._records.get(key)
        return record is not None and record.writer == writer and record.hlc == hlc

    def _lacking(self, vector: Mapping[str, int]) -> list[Key]:
        found = (
            key
            for writer, index in self._writers.items()
            if index.latest > (upto := vector.get(writer, 0))
            for hlc, key in index.after(upto)
            if self._in_force(writer, hlc, key)
        )
        return list(dict.fromkeys(found))  # one that was discarded kept its stamp, and is there twice

    def _page(self, keys: list[Key]) -> list[Record]:
        page: list[Record] = []
        size = 0
        for key in keys:
            record = self._records[key]
            size += len(record.body or b"")
            if page and size > PAGE_BYTES:
                break
            page.append(record)
        return page

    def _position(self, cursor: str) -> int:
        life, _, position = cursor.partition(".")
        return int(position) if life == self._life and position.isdecimal() else 0

    @staticmethod
    def _advance(vector: dict[str, int], writer: str, upto: int) -> None:
        vector[writer] = max(vector.get(writer, 0), upto)


def _mark(record: Record) -> int:
    text = f"{record.kind}\0{record.name}\0{record.hlc}\0{record.writer}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
