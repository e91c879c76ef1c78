"""Reports of cuts: written down as they begin and end, and made complete by what the other side says.

Owns `data/cluster-reports.json`, which outlives the router. Must never act on a cut: members, forwarding and
hand-overs do, each for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from caxton.cluster.cuts import Cut, Cuts
from caxton.cluster.membership import Members, Out
from caxton.protocol.cluster import HealReport, Ran
from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Named
from caxton.router.cluster.everywhere import homes_at, replicas_here
from caxton.router.cluster.service import Cluster
from caxton.router.desk import Desk
from caxton.router.timing.times import rfc3339, rfc3339_or_none
from caxton.store import sync_directory

FILE: Final = "cluster-reports.json"
ASK_SECONDS: Final = 10.0
TRIES: Final = 5
_PAUSE: Final = 2.0
_decode: Final = msgspec.json.Decoder(list[Cut]).decode
_ran: Final = msgspec.json.Decoder(Ran).decode

log = logging.getLogger(__name__)


class Healing:
    """One per node. `data`: where the reports are kept."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self.cuts = Cuts(_load(self._path))
        self.majority_since = time.time()
        self._news: asyncio.Queue[tuple[Members, Members]] = asyncio.Queue()
        self._writing = asyncio.Lock()

    def changed(self, before: Members, after: Members) -> None:
        """Who is a member or can be reached has changed."""
        if before.majority != after.majority:
            self.majority_since = time.time()
        self._news.put_nowait((before, after))

    def suppressed(self, node: str, message_ids: Iterable[str]) -> None:
        """These came from there, and were known here."""
        now = time.time()
        for message_id in message_ids:
            self.cuts.suppressed(node, message_id, now)

    def reports(self) -> list[HealReport]:
        """The latest first."""
        return [_report(cut) for cut in reversed(self.cuts.all())]

    async def run(self, desk: Desk, cluster: Cluster) -> None:
        """For ever; to be cancelled."""
        while True:
            before, after = await self._news.get()
            now = time.time()
            if not after.majority:
                self.cuts.in_minority()
            for node in sorted(before.reachable - after.reachable):
                if after.out.get(node) is not Out.LEFT:
                    await self._parted(desk, cluster, node, now, after)
            gone = {node for node, why in after.out.items() if why is Out.LEFT}
            for node in sorted((after.reachable - before.reachable) | gone):
                self._met(desk, cluster, node, now)
            await self.keep()

    async def ran(self, desk: Desk, cluster: Cluster, node: str) -> Ran:
        """What ran here while `node` could not be reached the last time, as it asks."""
        cut = self.cuts.latest(node)
        if cut is None:
            return Ran([])
        if cut.until is None:
            cut.ran = cut.still_ran(await executions(desk, cluster))
        return Ran(cut.ran)

    async def keep(self) -> None:
        """What is known now is on disk; if that takes nothing, it is written with the next change."""
        async with self._writing:
            try:
                await asyncio.to_thread(_write, self._path, msgspec.json.encode(self.cuts.all()))
            except OSError as error:
                log.warning("%s is not written: %s", self._path, error)

    async def _parted(self, desk: Desk, cluster: Cluster, node: str, now: float, after: Members) -> None:
        cut = self.cuts.parted(node, now, homes_at(cluster, node), minority=not after.majority)
        cut.baseline = await executions(desk, cluster)

    def _met(self, desk: Desk, cluster: Cluster, node: str, now: float) -> None:
        cut = self.cuts.met(node, now)
        if cut is not None:
            desk.spawn(self._complete(desk, cluster, cut))

    async def _complete(self, desk: Desk, cluster: Cluster, cut: Cut) -> None:
        """Asks the other side what ran there; without an answer the report stays incomplete, and says so."""
        cut.ran = cut.still_ran(await executions(desk, cluster))
        for _ in range(TRIES):
            with contextlib.suppress(CaxtonError, msgspec.MsgspecError):
                answer = await cluster.links.call(cut.node, "peer.ran", Named(cluster.node_id), timeout=ASK_SECONDS)
                self.cuts.told(cut, _ran(answer).agents)
                break
            await asyncio.sleep(_PAUSE)
        report = _report(cut)
        log.warning("the cut to %s has healed: %s", cut.node, msgspec.to_builtins(report))
        desk.events.publish("cluster.healed", msgspec.to_builtins(report))
        await self.keep()


async def executions(desk: Desk, cluster: Cluster) -> dict[str, int]:
    """How many messages of each agent without durable state have ended here by an execution."""
    await desk.core.write_counts()
    counted = await desk.read(desk.store.reader.ledger)
    return {name: one.done + one.dead for name in replicas_here(desk, cluster) if (one := counted.get(name))}


def _report(cut: Cut) -> HealReport:
    return HealReport(
        node=cut.node,
        since=rfc3339(cut.since),
        until=rfc3339_or_none(cut.until),
        minority=cut.minority,
        homes=cut.homes,
        both_sides=cut.both_sides,
        suppressed=cut.suppressed,
        suppressed_count=cut.suppressed_count,
        complete=cut.complete,
    )


def _load(path: Path) -> list[Cut]:
    """What an earlier life wrote. A file that cannot be read begins anew: a report is no reason not to start."""
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s cannot be read and begins anew: %s", path, error)
        return []


def _write(path: Path, text: bytes) -> None:
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_directory(path.parent)
