"""Homes that come here: the new home's side of a hand-over.

Owns the answers to the old home, each durable before it is given, and the way from pages to an agent that runs. Must
never run the agent before nothing more waits for it at the old home, or that is out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from caxton.cluster.handover import Answer, Receiver
from caxton.protocol.agents import AgentStatus
from caxton.protocol.handover import (
    HandoverAnswer,
    HandoverCall,
    HandoverFinish,
    HandoverKnown,
    HandoverPage,
    HandoverRow,
    Side,
    Step,
    Verdict,
)
from caxton.router.agents import Agent
from caxton.router.cluster.homes import Homes, now
from caxton.router.rows import agent_of
from caxton.store import AgentRow, Changes

ATTACHED: Final = frozenset({AgentStatus.RUNNING, AgentStatus.QUARANTINED})
_decode_row: Final = msgspec.json.Decoder(AgentRow).decode
log = logging.getLogger(__name__)


class Arriving:
    """One per node of a cluster."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes
        self._desk = homes.desk
        self._taking: set[str] = set()

    # ---- answers -----------------------------------------------------------------------------------

    async def begin(self, call: HandoverCall) -> HandoverAnswer:
        """A new attempt."""
        async with self._lock(call.agent):
            receiver = self._receiver(call.agent)
            answer = receiver.begin(call)
            if answer.row is not None:
                await self._homes.write(answer.row, handover_pages_dropped=[call.agent])
            return self._said(call.agent, answer, receiver)

    async def page(self, page: HandoverPage) -> HandoverAnswer:
        """Rows of its state, kept apart until this node is the home."""
        async with self._lock(page.agent):
            receiver = self._receiver(page.agent)
            verdict = receiver.page(page.attempt)
            if verdict is Verdict.TAKEN:
                await self._desk.core.commit(Changes(handover_pages=[page]))
            return HandoverAnswer(verdict, receiver.attempt)

    async def known(self, known: HandoverKnown) -> HandoverAnswer:
        """Messages that ended there; true whatever becomes of the move."""
        await self._desk.core.commit(Changes(ended_elsewhere=[known]))
        return HandoverAnswer(Verdict.TAKEN)

    async def finish(self, args: HandoverFinish) -> HandoverAnswer:
        """That was all; refused unless the agent could run here."""
        async with self._lock(args.agent):
            if learned := self._homes.learn(args.record):
                await self._desk.core.commit(Changes(registry=learned))
            receiver = self._receiver(args.agent)
            call = HandoverCall(args.agent, args.epoch, args.attempt, args.origin)
            there = await self._desk.read(self._desk.store.reader.arrived_pages, args.agent)
            answer = receiver.finish(call, complete=there == list(range(args.pages)))
            if answer.row is not None:
                await self._fetch(args)
                modules = tuple(args.modules)
                row = msgspec.structs.replace(answer.row, document=args.document, pages=args.pages, modules=modules)
                await self._homes.write(row)
            return self._said(args.agent, answer, receiver)

    async def commit(self, call: HandoverCall) -> HandoverAnswer:
        """The old home has stopped: this node is the home from now on, or will never be."""
        async with self._lock(call.agent):
            receiver = self._receiver(call.agent)
            answer = receiver.commit(call)
            if answer.row is not None and answer.row.step is Step.COMMITTED:
                await self._become_home(answer.row)
            elif answer.row is not None:
                await self._homes.write(answer.row, handover_pages_dropped=[call.agent])
            return self._said(call.agent, answer, receiver)

    async def abort(self, call: HandoverCall) -> HandoverAnswer:
        """The old home keeps it."""
        async with self._lock(call.agent):
            receiver = self._receiver(call.agent)
            answer = receiver.abort(call)
            if answer.row is not None:
                await self._homes.write(answer.row, handover_pages_dropped=[call.agent])
            return self._said(call.agent, answer, receiver)

    async def emptied(self, call: HandoverCall) -> HandoverAnswer:
        """Nothing waits there any more; answered when the agent runs here."""
        async with self._lock(call.agent):
            receiver = self._receiver(call.agent)
            if receiver.emptied(call) and receiver.row is not None:
                await self._take_up(receiver.row)
        return HandoverAnswer(Verdict.TAKEN, receiver.attempt)

    # ---- becoming the home -------------------------------------------------------------------------

    async def _become_home(self, row: HandoverRow) -> None:
        homes = self._homes
        homes.waits.add(row.agent, row.peer)
        self._desk.core.commits.hand_over()
        record = homes.cluster.records.rehome(row.agent, homes.node_id, row.epoch)
        await homes.write(row, registry=[record])
        homes.told("agent.home_taken", row.agent, giver=row.peer, epoch=row.epoch)

    async def look(self) -> None:
        """Agents whose old home is out are not waited for any longer."""
        for row in self._homes.committed():
            if self._is_out(row.peer):
                async with self._lock(row.agent):
                    if self._homes.row(row.agent, Side.IN) == row and self._is_out(row.peer):
                        await self._take_up(row)

    def _is_out(self, peer: str) -> bool:
        return self._homes.knows and peer not in self._homes.cluster.members.states

    async def _take_up(self, row: HandoverRow) -> None:
        async with self._desk.lock(row.agent):
            await self.take_up(row)
        self._homes.counts["came"] += 1
        self._homes.told("agent.home_moved", row.agent, giver=row.peer, taker=self._homes.node_id, epoch=row.epoch)

    async def take_up(self, row: HandoverRow) -> None:
        """Its pages become its state, one by one; then it runs. After a crash in between this goes on at the start.

        To be called with the agent's lock.
        """
        desk, document = self._desk, row.document
        assert document is not None  # READY came before
        if desk.registry.get(row.agent) is None:
            stored = _decode_row(document)
            with self._homes.cluster.records.mirroring(row.agent):
                await desk.core.commit(Changes(agents=[stored], arriving=[row.agent]))
            agent = await self.unpack(stored)
            await self._homes.end(row.agent, Side.IN)
            if self._homes.row(row.agent, Side.OUT) is not None:  # what waited here for it is its mailbox now
                await self._homes.end(row.agent, Side.OUT)
            self._open(agent)
        self._homes.waits.end(row.agent)

    async def unpack(self, stored: AgentRow) -> Agent:
        """The rest of the pages; the agent as it is then."""
        desk, reader, name = self._desk, self._desk.store.reader, stored.name
        for number in await desk.read(reader.arrived_pages, name):
            await desk.core.commit(Changes(unpacked=[(name, number)]))
        state_bytes = await desk.read(reader.state_bytes, name)
        info = (await desk.read(reader.snapshots.infos)).get(name)
        desk.versions.load(await desk.read(reader.versions, name))
        found = [one for one in await desk.read(reader.rollouts) if one.name == name]
        desk.rollouts.load(found)
        return agent_of(stored, state_bytes, info)

    def _open(self, agent: Agent) -> None:
        desk = self._desk
        desk.core.moving.reread(agent.name)
        desk.registry.add(agent)
        if agent.status in ATTACHED:
            desk.core.attach(agent)
        self._homes.cluster.changed()

    async def _fetch(self, args: HandoverFinish) -> None:
        """The modules of all its versions are here, and the one that runs is compiled: else the agent stays there."""
        desk, stored = self._desk, _decode_row(args.document)
        sha256 = stored.module.sha256
        held = []
        try:
            for needed, size in {sha256: stored.module.size_bytes, **args.modules}.items():
                await self._homes.cluster.fetching.hold(needed, size, [args.origin])
                held.append(needed)
            config = agent_of(stored, 0).config
            await desk.core.prepare(config, sha256, desk.modules.path(sha256), lambda _: None)
        finally:
            for needed in held:
                desk.modules.release(needed)

    # ---- inside ------------------------------------------------------------------------------------

    def _receiver(self, agent: str) -> Receiver:
        majority = self._homes.cluster.members.majority
        epoch = self._homes.cluster.records.epoch(agent)
        return Receiver(self._homes.row(agent, Side.IN), epoch, majority, now())

    def _said(self, agent: str, answer: Answer, receiver: Receiver) -> HandoverAnswer:
        record = self._homes.record_of(agent) if answer.verdict is Verdict.NOT_YOURS else None
        return HandoverAnswer(answer.verdict, receiver.attempt, record)

    def _lock(self, agent: str) -> asyncio.Lock:
        return self._homes.locks.setdefault(agent, asyncio.Lock())
