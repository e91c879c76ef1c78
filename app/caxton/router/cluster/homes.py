"""The homes of agents with durable state, as this node keeps them: which moves are under way, who runs and who waits.

Owns the rows of moves in memory and on disk, and the decision at start and after each change of the registry whether
an agent of this node runs. Must never move one: `handover_out` and `handover_in` do.

A node that starts runs none of them yet. While it was away an operator may have adopted one elsewhere, which a
majority of the others must have known: so as soon as those that it could not ask are no majority, it knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from caxton.cluster import placement
from caxton.cluster.handover import Place, place
from caxton.cluster.plan import new_home
from caxton.protocol.handover import HandoverRow, Side, Step
from caxton.protocol.peers import AgentRecord, Record
from caxton.router import lifecycle
from caxton.router.agents import Agent
from caxton.router.cluster.waits import Waits
from caxton.store import Changes

if TYPE_CHECKING:
    from caxton.router.cluster.service import Cluster
    from caxton.router.desk import Desk

CALL_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.5
log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Homes:
    """One per node of a cluster. `counts`: homes that `left`, `came`, were `kept` (a move undone), `archived`."""

    def __init__(self, desk: Desk, cluster: Cluster) -> None:
        self.desk, self.cluster = desk, cluster
        self.node_id = cluster.node_id
        self.waits = Waits()
        self.counts: Counter[str] = Counter(left=0, came=0, kept=0, archived=0, adopted=0)
        self.knows = False
        """Whether this node knows what may have been decided while it was away."""
        self.rows: dict[tuple[str, Side], HandoverRow] = {
            (row.agent, row.side): row for row in desk.store.reader.handovers()
        }
        self._undecided: set[str] = set()
        self.locks: dict[str, asyncio.Lock] = {}
        self._letters: dict[str, asyncio.Lock] = {}
        self.epochs: dict[str, int] = {}
        """The highest of agents that run here."""

    # ---- rows --------------------------------------------------------------------------------------

    def row(self, agent: str, side: Side) -> HandoverRow | None:
        """Where a move of the agent stands."""
        return self.rows.get((agent, side))

    async def write(self, row: HandoverRow, **more: Any) -> None:
        """The row, durable with whatever else is changed."""
        self.rows[row.agent, row.side] = row
        await self.desk.core.commit(Changes(handovers=[row], **more))

    async def end(self, agent: str, side: Side, **more: Any) -> None:
        """The move is over."""
        self.rows.pop((agent, side), None)
        changes = Changes(handovers_ended=[(agent, side)], **more)
        if side is Side.IN:
            changes.handover_pages_dropped.append(agent)
        await self.desk.core.commit(changes)

    def learn(self, record: Record | None) -> list[Record]:
        """A record that came with a call holds here too; to be written at once, in this turn of the loop."""
        if record is None:
            return []
        self.desk.core.commits.hand_over()
        changed = self.cluster.records.registry.merge([record])
        if changed:
            self.cluster.records.took(changed)
        return changed

    def record_of(self, name: str) -> Record | None:
        """The agent's record as it crosses a link."""
        return self.cluster.records.registry.get("agent", name)

    async def ask(self, node: str, op: str, args: msgspec.Struct, answer: type[_T]) -> _T:
        """One step, answered by another node; raises its refusal."""
        found = await self.cluster.links.call(node, op, args, timeout=CALL_SECONDS)
        return msgspec.json.decode(found, type=answer)

    @contextmanager
    def undecided(self, agent: str) -> Iterator[None]:
        """It is being adopted, and no majority knows yet: meanwhile nobody takes it up."""
        self._undecided.add(agent)
        try:
            yield
        finally:
            self._undecided.discard(agent)

    def leaves(self, agent: str) -> bool:
        """Whether it is here and goes to another node, since this one is drained."""
        if not self.desk.drained or self.desk.registry.get(agent) is None:
            return False
        record, members = self.cluster.records.agent(agent), self.cluster.members
        others = [one for one in members.active if one != self.node_id]
        return record is not None and record.home is not None and members.majority and bool(new_home(record, others))

    def letters(self, agent: str) -> asyncio.Lock:
        """Held by a move until it is decided, and by whatever changes the agent's dead letters."""
        return self._letters.setdefault(agent, asyncio.Lock())

    def committed(self) -> list[HandoverRow]:
        """Agents whose home this node is, and that do not run yet."""
        rows = (row for row in self.rows.values() if row.side is Side.IN and row.step is Step.COMMITTED)
        return [row for row in rows if row.agent not in self._undecided]

    def modules(self) -> set[str]:
        """SHA-256 of what versions of agents are made of that are coming here."""
        return {sha256 for row in self.rows.values() for sha256 in row.modules}

    def under_way(self) -> list[HandoverRow]:
        """Moves that are not over, as operators see them."""
        return [row for row in self.rows.values() if row.step not in (Step.REFUSED, Step.RECEIVING)]

    # ---- who runs ----------------------------------------------------------------------------------

    def is_held_at_start(self, agent: Agent) -> bool:
        """Whether an agent of this node waits when the router begins."""
        return keeps_state(agent) and (self.row(agent.name, Side.OUT) is not None or not self.knows)

    def place(self, name: str) -> Place:
        """What this node does with the agent."""
        record = self.cluster.records.agent(name)
        if record is None:  # it has none yet: this node has it, and tells the others as soon as it may
            return Place.AWAY if self.cluster.records.is_removed(name) else Place.RUN
        if record.home is None or self.epochs.get(name, 0) > record.epoch:
            return Place.RUN
        inward, out = self.row(name, Side.IN), self.row(name, Side.OUT)
        return place(self.node_id, record.home, record.epoch, out, inward)

    def may_know(self) -> bool:
        """Whether those that this node has not asked since its start could not have decided anything without it."""
        expected = self.desk.config.coordination.expected_nodes
        asked = len(self.cluster.pulling.met & self.cluster.members.reachable | {self.node_id})
        return self.cluster.pulling.synced.is_set() or 2 * asked >= expected

    def held(self) -> list[Agent]:
        """Agents with durable state that are here and run nothing."""
        return [agent for agent in self.desk.registry if self.desk.core.moving.is_held(agent.name)]

    def at_home(self) -> list[AgentRecord]:
        """The agents that live here."""
        return [one for one in self.cluster.records.agents() if one.home == self.node_id]

    def look(self, names: Iterable[str]) -> list[Agent]:
        """Lets those go on that live here; gives those that are here and live elsewhere now."""
        strays = []
        for name in names:
            agent = self.desk.registry.get(name)
            if agent is None or not keeps_state(agent):
                continue
            if self.is_stray(agent):
                strays.append(agent)
            elif self.place(name) is Place.RUN and self.knows and not self.is_moving(name):
                self.desk.core.moving.release(agent)
        return strays

    def is_stray(self, agent: Agent) -> bool:
        """Whether it lives elsewhere, is removed, or the name has another agent by now."""
        record = self.cluster.records.agent(agent.name)
        another = record is not None and record.agent_id != agent.agent_id
        return another or self.place(agent.name) is Place.AWAY

    def is_moving(self, name: str) -> bool:
        """Whether a move of the agent away from here is under way."""
        return self.desk.lock(name).locked() or self.row(name, Side.OUT) is not None

    def told(self, kind: str, agent: str, **more: Any) -> None:
        """An event, and a line in the log."""
        log.info("%s: %s %s", kind, agent, more)
        self.desk.events.publish(kind, {"name": agent, "node": self.node_id, **more})


def keeps_state(agent: Agent) -> bool:
    """Whether there may be only one of it."""
    return placement.stateful(agent.config, agent.module)


def leave(homes: Homes, agent: Agent) -> None:
    """It lives elsewhere, its rows are gone, its record says so: its mail follows it. All in one turn of the loop."""
    lifecycle.forget(homes.desk, agent)
    homes.desk.core.moving.pass_on_callers(agent)
    homes.desk.core.detach(agent, elsewhere=True)
    homes.desk.core.moving.reread(agent.name)
    homes.cluster.changed()


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
