"""What this node adds to the registry, and what it knows of agents everywhere.

Owns the hook through which every change of this node passes: where it is about something that all must know, its
record becomes true in the same transaction. Must never make one of what the node merely mirrors: rows that came from
the registry bring their records with them, and of agents that are `mirrored` right now nothing is recorded.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from caxton.cluster.registry import Registry
from caxton.cluster.registry.clock import milliseconds_of
from caxton.protocol.peers import AgentRecord, Record
from caxton.router.cluster import agent_records, bodies
from caxton.store import AgentRow, Changes

_OURS: Final = bodies.FIELDS | {"agents", "agents_removed"}
log = logging.getLogger(__name__)


class Records:
    """Around one copy of the registry. `rows`: this node's agents as they are stored."""

    def __init__(self, registry: Registry, rows: Iterable[AgentRow]) -> None:
        self.registry = registry
        self._agents: dict[str, AgentRecord] = {}
        self._modules: Counter[str] = Counter()
        self._mirrored: Counter[str] = Counter()
        self._rows = {row.name: self._plain(row) for row in rows}
        """What each agent's row said last: a row that says the same again decides nothing."""
        self._watchers: list[Callable[[list[Record]], None]] = []
        self._learn(registry.of_kind(bodies.AGENT))

    def watch(self, callback: Callable[[list[Record]], None]) -> None:
        """Calls `callback` with records that have changed, this node's own too."""
        self._watchers.append(callback)

    # ---- looking -----------------------------------------------------------------------------------

    def agent(self, name: str) -> AgentRecord | None:
        """What every node knows of an agent; None where there is none, or none that this release can read."""
        return self._agents.get(name)

    def agents(self) -> Iterator[AgentRecord]:
        """All of them."""
        return iter(list(self._agents.values()))

    def is_removed(self, name: str) -> bool:
        """Whether an agent of this name is known to be gone."""
        last = self.registry.last(bodies.AGENT, name)
        return last is not None and last.body is None

    def epoch(self, name: str) -> int:
        """The agent's epoch, or the moment of its removal, which ends all its epochs; 0: there never was one."""
        record, last = self._agents.get(name), self.registry.last(bodies.AGENT, name)
        if record is not None:
            return record.epoch
        return 0 if last is None else milliseconds_of(last.hlc)

    def modules(self) -> set[str]:
        """SHA-256 of the modules that agents anywhere are made of now."""
        return set(self._modules)

    # ---- what this node decides --------------------------------------------------------------------

    @contextmanager
    def mirroring(self, name: str) -> Iterator[None]:
        """What happens to this agent's rows meanwhile is not this node's decision; hold the agent's lock."""
        self._mirrored[name] += 1
        try:
            yield
        finally:
            self._mirrored[name] -= 1
            if not self._mirrored[name]:
                del self._mirrored[name]

    def note(self, changes: Changes) -> None:
        """The hook: adds the records of what these changes decide."""
        used = vars(changes)
        if _OURS.isdisjoint(used):
            return
        if "registry" in used:
            self._mirror(used)
            return
        made = [record for entry in bodies.entries(used) if (record := self._said(*entry)) is not None]
        made += self._of_agents(used)
        if made:
            changes.registry.extend(made)
            self.took(made)

    def rehome(self, name: str, home: str | None, epoch: int) -> Record:
        """The record by which an agent lives elsewhere; to be written by whoever calls. It must have a record."""
        moved = msgspec.structs.replace(self._agents[name], home=home, epoch=epoch)
        record = self.registry.put(bodies.AGENT, name, agent_records.encode(moved))
        self.took([record])
        return record

    def unpublished(self, used: Mapping[str, Any]) -> list[Record]:
        """Records of what is stored here and was never in the registry; to be written by whoever calls."""
        found = [entry for entry in bodies.entries(used) if self.registry.last(*entry[:2]) is None]
        for row in used.get("agents", ()):
            if self.registry.last(bodies.AGENT, row.name) is None:
                found.append((bodies.AGENT, row.name, self._body(row)))
        made = [self.registry.put(kind, name, body) for kind, name, body in found if body is not None]
        self.took(made)
        return made

    def ended_tokens(self, before: float) -> list[str]:
        """Ids of revoked tokens that ended by themselves before this (seconds since the epoch)."""
        return [
            record.name
            for record in self.registry.of_kind(bodies.REVOKED_TOKEN)
            if (row := bodies.revoked_token(record)) is not None
            and row.expires_at is not None
            and row.expires_at < before
        ]

    def forget(self, kind: str, names: Iterable[str]) -> list[Record]:
        """Tombstones; to be written by whoever calls."""
        gone = [self.registry.remove(kind, name) for name in names]
        self.took(gone)
        return gone

    # ---- what others decided -----------------------------------------------------------------------

    def took(self, changed: list[Record]) -> None:
        """These records have just come to hold; whoever watches is told."""
        self._learn(record for record in changed if record.kind == bodies.AGENT)
        for callback in self._watchers:
            callback(changed)

    # ---- inside ------------------------------------------------------------------------------------

    def _said(self, kind: str, name: str, body: bytes | None) -> Record | None:
        """The record, unless it would say what the one that holds says."""
        known = self.registry.get(kind, name)
        if (None if known is None else known.body) == body:
            return None
        return self.registry.remove(kind, name) if body is None else self.registry.put(kind, name, body)

    def _of_agents(self, used: Mapping[str, Any]) -> Iterator[Record]:
        for row in used.get("agents", ()):
            plain = self._plain(row)
            if self._rows.get(row.name) == plain:
                continue
            self._rows[row.name] = plain
            if row.name not in self._mirrored:
                record = self._said(bodies.AGENT, row.name, self._body(row))
                if record is not None:
                    yield record
        for name in used.get("agents_removed", ()):
            was_here = self._rows.pop(name, None) is not None
            if was_here and name not in self._mirrored and (gone := self._said(bodies.AGENT, name, None)):
                yield gone

    def _mirror(self, used: Mapping[str, Any]) -> None:
        """Rows that came with their records."""
        for row in used.get("agents", ()):
            self._rows[row.name] = self._plain(row)
        for name in used.get("agents_removed", ()):
            self._rows.pop(name, None)

    def _body(self, row: AgentRow) -> bytes:
        before = self._agents.get(row.name)
        said = agent_records.record_of(row, self.registry.node_id, before, self.registry.epoch())
        return agent_records.encode(said)

    def _plain(self, row: AgentRow) -> bytes:
        return agent_records.encode(agent_records.record_of(row, "", None))

    def _learn(self, records: Iterable[Record]) -> None:
        for record in records:
            before = self._agents.pop(record.name, None)
            if before is not None:
                self._forget_module(before.module.sha256)
            if record.body is None:
                continue
            try:
                after = self._agents[record.name] = agent_records.decode(record.body)
            except msgspec.ValidationError as error:
                log.error("the record of agent %s cannot be read by this release: %s", record.name, error)
            else:
                self._modules[after.module.sha256] += 1

    def _forget_module(self, sha256: str) -> None:
        self._modules[sha256] -= 1
        if not self._modules[sha256]:
            del self._modules[sha256]
