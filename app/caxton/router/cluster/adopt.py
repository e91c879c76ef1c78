"""An agent whose home is gone lives here from now on: from a backup, an archive, or clean.

Owns these steps. Must never take one whose home can be reached, nor run it before a majority knows: a home that comes
back asks them before it runs anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from caxton.cluster.handover import ADOPTION, next_attempt
from caxton.protocol.agents import AgentStatus
from caxton.protocol.cluster_moves import Adopt, Adopted
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.handover import HandoverAnswer, HandoverKnown, HandoverPage, HandoverRow, Side, Step, Verdict
from caxton.protocol.peers import AgentRecord, Record
from caxton.router.agents import Agent
from caxton.router.cluster.agent_records import STOPPED
from caxton.router.cluster.archive import SUFFIX, pages, read_archive
from caxton.router.cluster.handover_in import Arriving
from caxton.router.cluster.homes import Homes, now
from caxton.router.cluster.install import agent_of_record
from caxton.router.rows import agent_row
from caxton.store import AgentRow, Changes
from caxton.store.departure import Told
from caxton.store.reader import Reader

TOLD_SECONDS: Final = 10.0
log = logging.getLogger(__name__)


class Source(msgspec.Struct):
    """What an agent is restored from. `row`: its row there; `known`: messages that had ended."""

    row: AgentRow | None = None
    pages: list[HandoverPage] = []
    known: list[HandoverKnown] = []


class Adopting:
    """One per node of a cluster."""

    def __init__(self, homes: Homes, arriving: Arriving) -> None:
        self._homes, self._arriving = homes, arriving
        self._desk = homes.desk

    async def adopt(self, args: Adopt, reason: str = "an operator adopted it") -> Adopted:
        """`CONFLICT` while its home can be reached; `CLUSTER_MINORITY` where this side may not decide that."""
        if (args.source is None) is not args.clean:
            raise CaxtonError(
                Code.INVALID_REQUEST, "say either what it is restored from, or that it starts clean", path="source"
            )
        record = self._require(args.agent)
        source = await self._read(args, record)
        async with self._desk.lock(args.agent):
            record = self._require(args.agent)
            with self._homes.undecided(args.agent):
                row = await self._received(record, source)
                await self._tell_majority(await self._commit(row))
            await self._arriving.take_up(row)
        self._homes.counts["adopted"] += 1
        self._homes.told("agent.adopted", args.agent, giver=record.home, epoch=row.epoch, reason=reason)
        log.warning("agent %s lives here now, %s was its home: %s", args.agent, record.home, reason)
        return Adopted(args.agent, self._homes.node_id, record.home or "", row.epoch, row.pages)

    def _require(self, name: str) -> AgentRecord:
        homes, members = self._homes, self._homes.cluster.members
        record = homes.cluster.records.agent(name)
        if record is None or record.home is None:
            raise CaxtonError(Code.AGENT_NOT_FOUND, f"no agent with a home is called {name[:128]!r}", name=name[:128])
        if not members.majority:
            raise CaxtonError(
                Code.CLUSTER_MINORITY, "less than half of the cluster is seen: nothing is adopted", name=name
            )
        if record.home == homes.node_id or record.home in members.reachable:
            raise CaxtonError(
                Code.CONFLICT,
                f"{name!r} lives on {record.home}, which answers; drain that node to move it",
                name=name,
                node=record.home,
            )
        return record

    # ---- what it is restored from ------------------------------------------------------------------

    async def _read(self, args: Adopt, record: AgentRecord) -> Source:
        if args.source is None:
            return Source()
        path = Path(args.source)
        try:
            read = _from_archive if path.suffix == SUFFIX else _from_database
            source = await self._desk.read(read, path, args.agent)
        except CaxtonError:
            raise
        except Exception as error:  # a file that somebody names may be anything
            raise CaxtonError(
                Code.BACKUP_INVALID, f"{path} is neither a backup's database nor an archive: {error}", path="source"
            ) from error
        if source.row is None or source.row.agent_id != record.agent_id:
            raise CaxtonError(
                Code.BACKUP_INVALID,
                f"{path} has no agent {args.agent!r} of this deployment",
                path="source",
                name=args.agent,
                expected=record.agent_id,
            )
        return source

    # ---- the steps ---------------------------------------------------------------------------------

    async def _received(self, record: AgentRecord, source: Source) -> HandoverRow:
        """As if the old home had sent it: everything is here, apart."""
        homes, commit = self._homes, self._desk.core.commit
        before = homes.row(record.name, Side.IN)
        row = HandoverRow(
            agent=record.name,
            side=Side.IN,
            peer=record.home or "",
            epoch=record.epoch + ADOPTION,
            attempt=next_attempt(now(), 0 if before is None else before.attempt),
            step=Step.RECEIVING,
            at=now(),
        )
        agent = await self._prepared(record)
        agent.status = AgentStatus.STOPPED if record.status == STOPPED else AgentStatus.RUNNING
        if source.row is not None:
            agent.incarnation, agent.next_timer_id = source.row.incarnation, source.row.next_timer_id
            agent.quarantine = source.row.quarantine
        await homes.write(row, handover_pages_dropped=[record.name])
        for page in source.pages:
            await commit(Changes(handover_pages=[page]))
        for known in source.known:
            await commit(Changes(ended_elsewhere=[known]))
        document = msgspec.json.encode(agent_row(agent))
        row = msgspec.structs.replace(row, step=Step.READY, document=document, pages=len(source.pages))
        await homes.write(row)
        return row

    async def _prepared(self, record: AgentRecord) -> Agent:
        """Its module is here and compiled; the agent as the registry knows it."""
        desk, module = self._desk, record.module
        holders = sorted(self._homes.cluster.members.reachable - {self._homes.node_id})
        await self._homes.cluster.fetching.hold(module.sha256, module.size_bytes, holders)
        try:
            return await agent_of_record(desk, record)
        finally:
            desk.modules.release(module.sha256)

    async def _commit(self, row: HandoverRow) -> Record:
        homes = self._homes
        homes.waits.add(row.agent, row.peer)
        self._desk.core.commits.hand_over()
        record = homes.cluster.records.rehome(row.agent, homes.node_id, row.epoch)
        await homes.write(msgspec.structs.replace(row, step=Step.COMMITTED), registry=[record])
        return record

    async def _tell_majority(self, record: Record) -> None:
        """So that the old home, when it asks anybody who could have decided, hears of it; until then nothing runs."""
        homes, told = self._homes, {self._homes.node_id}
        expected = self._desk.config.coordination.expected_nodes
        while 2 * len(told) <= expected:
            others = sorted(homes.cluster.members.reachable - told)
            answers = await asyncio.gather(*(self._tell(node, record) for node in others))
            told |= {node for node, heard in zip(others, answers, strict=True) if heard}
            if 2 * len(told) <= expected:
                await asyncio.sleep(0.25)

    async def _tell(self, node: str, record: Record) -> bool:
        try:
            answer = await self._homes.ask(node, "peer.handover_adopted", record, HandoverAnswer)
        except CaxtonError:
            return False
        return answer.verdict is Verdict.TAKEN

    async def heard(self, record: Record) -> HandoverAnswer:
        """Another node has adopted an agent: durable here when answered."""
        learned = self._homes.learn(record)
        if learned:
            await self._desk.core.commit(Changes(registry=learned))
        return HandoverAnswer(Verdict.TAKEN)


def _from_archive(path: Path, agent: str) -> Source:
    heading, found = read_archive(path)
    if heading.agent != agent:
        return Source()
    return Source(msgspec.json.decode(heading.document, type=AgentRow), _numbered(found), [])


def _from_database(path: Path, agent: str) -> Source:
    if not path.is_file():
        raise CaxtonError(Code.BACKUP_INVALID, f"{path}: there is no such file on this node", path="source")
    reader = Reader(path)
    try:
        row = next((one for one in reader.agents() if one.name == agent), None)
        told, known = Told(), []
        while (page := reader.departures.known(agent, told, 0.0)) is not None:
            known += [page] if page.rows else []
        return Source(row, _numbered(pages(reader, agent)), known)
    finally:
        reader.close()


def _numbered(found: Iterable[HandoverPage]) -> list[HandoverPage]:
    return [msgspec.structs.replace(page, number=number) for number, page in enumerate(found)]
