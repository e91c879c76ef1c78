"""Kept versions of agents as records of the registry, so that each node that runs an agent can go back to the same.

Owns which versions others must know, all but the one that an agent is (its own record says that), and the index of
what is known. Must never decide what is kept: whoever changes an agent does. Names are `AGENT NUMBER`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from caxton.cluster.registry import Registry
from caxton.protocol.peers import AgentRecord, Record
from caxton.router.cluster.agent_records import portable
from caxton.router.cluster.bodies import Entry
from caxton.store import VersionRow

VERSION: Final = "version"
FIELDS: Final = frozenset({"versions", "versions_removed"})


class Module(msgspec.Struct, frozen=True):
    """How a version's module is asked for."""

    sha256: str
    size_bytes: int


class _Body(msgspec.Struct, frozen=True):
    module: Module


_decode: Final = msgspec.msgpack.Decoder(VersionRow).decode
_look: Final = msgspec.msgpack.Decoder(_Body).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class VersionRecords:
    """Of one copy of the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, dict[int, Module]] = {}
        self._modules: Counter[str] = Counter()
        self.learn(registry.of_kind(VERSION))

    def learn(self, records: Iterable[Record]) -> None:
        """These hold now; what this release cannot read is passed over."""
        for record in records:
            agent, number = _of_name(record.name)
            known = self._known.setdefault(agent, {})
            if (before := known.pop(number, None)) is not None:
                self._modules[before.sha256] -= 1
            if record.body is not None:
                with suppress(msgspec.DecodeError):
                    known[number] = _look(record.body).module
                    self._modules[known[number].sha256] += 1
            if not known:
                del self._known[agent]

    # ---- looking -----------------------------------------------------------------------------------

    def of(self, agent: str) -> list[Record]:
        """The kept versions of an agent, oldest first."""
        found = (self._registry.get(VERSION, _name(agent, number)) for number in sorted(self._known.get(agent, ())))
        return [record for record in found if record is not None]

    def is_gone(self, agent: str, number: int) -> bool:
        """Whether this version is known to be kept no more."""
        last = self._registry.last(VERSION, _name(agent, number))
        return last is not None and last.body is None

    def modules_of(self, agent: str) -> list[Module]:
        """What its kept versions are made of."""
        return list(self._known.get(agent, {}).values())

    def modules(self) -> set[str]:
        """SHA-256 of what kept versions anywhere are made of."""
        return {sha256 for sha256, count in self._modules.items() if count}

    # ---- saying ------------------------------------------------------------------------------------

    def entries(self, used: Mapping[str, Any], agents: Mapping[str, AgentRecord]) -> Iterator[Entry]:
        """What these changes (by their attributes that are used) say, but of agents that nobody knows."""
        now = {name: agents[name].version for row in used.get("versions", ()) if (name := row.name) in agents}
        now |= {row.name: row.version for row in used.get("agents", ())}
        for row in used.get("versions", ()):
            if now.get(row.name, row.version) != row.version:
                yield VERSION, _name(row.name, row.version), encode(row)
        for name, number in used.get("versions_removed", ()):
            yield VERSION, _name(name, number), None

    def ended(self, agent: str) -> Iterator[Entry]:
        """What is said when an agent is removed."""
        for number in sorted(self._known.get(agent, ())):
            yield VERSION, _name(agent, number), None


def encode(row: VersionRow) -> bytes:
    """As a body."""
    return _encode(msgspec.structs.replace(row, descriptor=portable(row.descriptor)))


def decode(record: Record) -> VersionRow:
    """The version; `msgspec.ValidationError` for one that this release cannot read."""
    return _decode(record.body or b"")


def number_of(record: Record) -> int:
    """Of the version that a record is about."""
    return _of_name(record.name)[1]


def agent_of(name: str) -> str:
    """Whose version the record of this name is about."""
    return _of_name(name)[0]


def _name(agent: str, number: int) -> str:
    return f"{agent} {number}"


def _of_name(name: str) -> tuple[str, int]:
    agent, _, number = name.rpartition(" ")
    return agent, int(number) if number.isdecimal() else 0
