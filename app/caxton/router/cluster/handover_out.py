"""Homes that leave: the old home's side of a hand-over.

Owns its steps: what ended is told while the agent still runs, then it is held, sent, and given away. Must never let
it run again once it is HANDED, unless the new home has said that it will never have it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from caxton.cluster.handover import Next, heard, next_attempt
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.handover import (
    HandoverAnswer,
    HandoverCall,
    HandoverFinish,
    HandoverRow,
    Side,
    Step,
    Verdict,
)
from caxton.protocol.peers import AgentRecord
from caxton.router.agents import Agent
from caxton.router.cluster.archive import write_archive
from caxton.router.cluster.homes import Homes, leave, now
from caxton.router.rows import agent_row
from caxton.router.versions import rollouts
from caxton.store import Changes
from caxton.store.departure import TABLES, Told

GRACE_SECONDS: Final = 10.0
"""For what the agent runs, outside of a drain, which has waited for it already."""
PAUSE_SECONDS: Final = 0.25
EMPTY_SECONDS: Final = 0.02
log = logging.getLogger(__name__)


class Departing:
    """One per node of a cluster. The caller of `hand_over` waits until it is decided; the rest goes on beside it."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes
        self._desk = homes.desk
        self._seen: dict[str, int] = {}
        """The highest attempt that any node was heard to know of."""

    async def hand_over(self, name: str, to: str, grace_seconds: float = GRACE_SECONDS) -> None:
        """The agent lives on `to` when this returns; raises why it still lives here."""
        self._require(name, to)
        told = Told()
        await self._tell_known(name, to, told)
        async with self._homes.letters(name), self._desk.lock(name):
            agent, record = self._require(name, to)
            await rollouts.settle(self._desk, name, "its home moves to another node")
            row = await self._sent(agent, record, to, told, grace_seconds)
            await self._decide(row)

    def resume(self) -> None:
        """Takes up what an earlier life left."""
        for row in list(self._homes.rows.values()):
            if row.side is Side.OUT:
                self._desk.spawn(self._resumed(row))

    async def _resumed(self, row: HandoverRow) -> None:
        async with self._homes.letters(row.agent), self._desk.lock(row.agent):
            if row.step is Step.HANDED:
                await self._decide(row)
            else:
                self._desk.spawn(self._empty(row))

    def _require(self, name: str, to: str) -> tuple[Agent, AgentRecord]:
        homes, members = self._homes, self._homes.cluster.members
        agent, record = self._desk.registry.require(name), homes.cluster.records.agent(name)
        if record is None or record.home != homes.node_id or homes.row(name, Side.OUT) is not None:
            raise CaxtonError(Code.CONFLICT, f"{name!r} does not live here, or is on its way already", name=name)
        if not members.majority:
            raise CaxtonError(
                Code.CLUSTER_MINORITY, "less than half of the cluster is seen: no home moves", retry_after_seconds=2
            )
        if to == homes.node_id or to not in members.active or to not in members.reachable:
            raise CaxtonError(Code.NOT_READY, f"{to} takes no agents now", node=to, retry_after_seconds=2)
        if record.node is not None and record.node != to:
            raise CaxtonError(Code.CONFLICT, f"{name!r} is pinned to {record.node}", name=name, node=record.node)
        return agent, record

    # ---- what travels ------------------------------------------------------------------------------

    async def _tell_known(self, name: str, to: str, told: Told) -> None:
        since = now() - self._desk.config.messaging.dedup_window
        departures = self._desk.store.reader.departures
        while (page := await self._desk.read(departures.known, name, told, since)) is not None:
            if page.rows:
                await self._homes.ask(to, "peer.handover_known", page, HandoverAnswer)

    async def _sent(self, agent: Agent, record: AgentRecord, to: str, told: Told, grace: float) -> HandoverRow:
        """Everything is there, and here is written that it is; whatever fails before: the agent goes on here."""
        name, core = agent.name, self._desk.core
        call = await self._begin(name, record.epoch + 1, to)
        core.moving.hold(agent)
        try:
            await core.moving.still(agent, grace)
            await self._tell_known(name, to, told)
            since = now() - self._desk.config.messaging.dedup_window
            for page in await self._desk.read(self._late, name, told, since):
                await self._homes.ask(to, "peer.handover_known", page, HandoverAnswer)
            pages = await self._send_pages(call, to)
            await self._finish(agent, call, to, pages)
        except BaseException:
            core.moving.release(agent)
            self._desk.spawn(self._abort(call, to))
            raise
        row = HandoverRow(
            agent=name,
            side=Side.OUT,
            peer=to,
            epoch=call.epoch,
            attempt=call.attempt,
            step=Step.HANDED,
            at=now(),
        )
        await self._homes.write(row)
        return row

    async def _begin(self, name: str, epoch: int, to: str) -> HandoverCall:
        for _ in range(2):
            attempt = next_attempt(now(), self._seen.get(name, 0))
            call = HandoverCall(name, epoch, attempt, self._homes.node_id)
            answer = await self._homes.ask(to, "peer.handover_begin", call, HandoverAnswer)
            self._seen[name] = max(attempt, answer.attempt, self._seen.get(name, 0))
            if answer.verdict is Verdict.TAKEN:
                return call
        raise CaxtonError(Code.NOT_READY, f"{to} does not take {name!r}: {answer.verdict}", node=to)

    def _late(self, name: str, told: Told, since: float) -> list[msgspec.Struct]:
        return [page for page in self._desk.store.reader.departures.known_late(name, told, since) if page.rows]

    async def _send_pages(self, call: HandoverCall, to: str) -> int:
        number = 0
        departures = self._desk.store.reader.departures
        for table in TABLES:
            after = None
            while (found := await self._desk.read(departures.page, call.agent, table, number, after)) is not None:
                page, after = found
                page = msgspec.structs.replace(page, attempt=call.attempt)
                answer = await self._homes.ask(to, "peer.handover_page", page, HandoverAnswer)
                if answer.verdict is not Verdict.TAKEN:
                    raise CaxtonError(Code.CONFLICT, f"{to} no longer takes {call.agent!r}", node=to)
                number += 1
        return number

    async def _finish(self, agent: Agent, call: HandoverCall, to: str, pages: int) -> None:
        rows = await self._desk.read(self._desk.store.reader.versions, agent.name)
        args = HandoverFinish(
            agent=agent.name,
            epoch=call.epoch,
            attempt=call.attempt,
            origin=call.origin,
            pages=pages,
            document=msgspec.json.encode(agent_row(agent)),
            record=self._homes.record_of(agent.name),
            modules={row.module.sha256: row.module.size_bytes for row in rows},
        )
        answer = await self._homes.ask(to, "peer.handover_finish", args, HandoverAnswer)
        if answer.verdict is not Verdict.TAKEN:
            raise CaxtonError(Code.CONFLICT, f"{to} did not get all of {agent.name!r}", node=to)

    async def _abort(self, call: HandoverCall, to: str) -> None:
        """So that the pages need not lie there; should it not arrive, the next attempt replaces them."""
        await self._homes.ask(to, "peer.handover_abort", call, HandoverAnswer)

    # ---- deciding ----------------------------------------------------------------------------------

    async def _decide(self, row: HandoverRow) -> None:
        """Asks until one of the two is the home: nobody runs the agent meanwhile."""
        call = HandoverCall(row.agent, row.epoch, row.attempt, self._homes.node_id)
        op = "peer.handover_commit"
        while True:
            answer = await self._answer(row, op, call)
            follows = heard(None if answer is None else answer.verdict)
            if self._is_over(row):
                follows = Next.GIVE
            if follows is Next.GIVE:
                await self._give(row, answer)
                return
            if follows is Next.KEEP:
                await self._keep(row)
                raise CaxtonError(Code.CONFLICT, f"{row.peer} did not take {row.agent!r}; it goes on here")
            if answer is not None and answer.verdict is Verdict.NOT_NOW:
                op = "peer.handover_abort"
            await asyncio.sleep(PAUSE_SECONDS)

    async def _answer(self, row: HandoverRow, op: str, call: HandoverCall) -> HandoverAnswer | None:
        try:
            return await self._homes.ask(row.peer, op, call, HandoverAnswer)
        except CaxtonError as error:
            log.info("%s: %s has not said whether it takes the agent: %s", row.agent, row.peer, error)
            return None

    def _is_over(self, row: HandoverRow) -> bool:
        """Whether the registry says what became of it."""
        records = self._homes.cluster.records
        record = records.agent(row.agent)
        return records.epoch(row.agent) >= row.epoch and (record is None or record.home != self._homes.node_id)

    async def _give(self, row: HandoverRow, answer: HandoverAnswer | None) -> None:
        """Its rows go, then its mail: until that is in the outbox, whatever comes goes behind it in the mailbox."""
        homes, core = self._homes, self._desk.core
        given = msgspec.structs.replace(row, step=Step.GIVEN, at=now())
        agent = self._desk.registry.get(row.agent)
        if agent is not None and self._went_elsewhere(row):
            await write_archive(homes, agent)
        await homes.write(given, departed=[row.agent])
        learned = homes.learn(None if answer is None else answer.record)
        if agent is not None:
            leave(homes, agent)
        if learned:
            await core.commit(Changes(registry=learned))
        homes.counts["left"] += 1
        homes.told("agent.home_given", row.agent, taker=row.peer, epoch=row.epoch)
        self._desk.spawn(self._empty(given))

    def _went_elsewhere(self, row: HandoverRow) -> bool:
        """Whether the home is neither here nor where it was sent: an operator has adopted it, or it was removed."""
        records = self._homes.cluster.records
        record = records.agent(row.agent)
        elsewhere = record is None or record.home not in (row.peer, self._homes.node_id)
        return records.epoch(row.agent) > row.epoch and elsewhere

    async def _keep(self, row: HandoverRow) -> None:
        await self._homes.end(row.agent, Side.OUT)
        agent = self._desk.registry.get(row.agent)
        if agent is not None:
            self._desk.core.moving.release(agent)
        self._homes.counts["kept"] += 1
        self._homes.told("agent.home_kept", row.agent, taker=row.peer)

    async def _empty(self, row: HandoverRow) -> None:
        """Says that nothing waits here any more, until that has been heard."""
        call = HandoverCall(row.agent, row.epoch, row.attempt, self._homes.node_id)
        while self._homes.row(row.agent, Side.OUT) == row:
            if self._homes.cluster.outboxes.count(row.agent):
                await asyncio.sleep(EMPTY_SECONDS)
            elif await self._answer(row, "peer.handover_emptied", call) is not None:
                await self._homes.end(row.agent, Side.OUT)
            else:
                await asyncio.sleep(PAUSE_SECONDS)
