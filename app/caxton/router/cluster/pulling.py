"""Pulls: this node's copy of the registry becomes equal to the others', one peer at a time.

Owns when and from whom, that what came is durable with how far it reaches, and the answers to others' pulls. Must
never bring up an agent.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from caxton.cluster import placement
from caxton.cluster.registry import Exchange, Hints, Registry
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import Delta, Pull, Seen
from caxton.router.cluster import bodies
from caxton.router.cluster.applying import Applying
from caxton.router.cluster.records import Records
from caxton.router.cluster.sight import Links, Sight
from caxton.router.core import Core
from caxton.store import Changes

PERIOD_SECONDS: Final = 5.0
"""Between pulls from anybody, whatever the digests say; as much again by chance."""
TIMEOUT_SECONDS: Final = 10.0
REST_SECONDS: Final = 0.5
FAILED_SECONDS: Final = 2.0
"""For which a node is not asked that could not answer."""
MOST_RECORDS: Final = 5_000
COLLECT_SECONDS: Final = 600.0
TOKEN_SECONDS: Final = 86_400.0
"""For which the record of a revoked token stays after the token's end."""
_decode: Final = msgspec.json.Decoder(Delta).decode
log = logging.getLogger(__name__)


class Pulling:
    """`expected`: nodes of the whole cluster; `digest`: told what this node's registry is like, after each change."""

    def __init__(
        self,
        records: Records,
        core: Core,
        links: Links,
        sight: Callable[[], Sight],
        expected: int,
        digest: Callable[[str], None],
    ) -> None:
        self._records, self._core, self._links, self._sight = records, core, links, sight
        self._applying = Applying(records, core)
        self._expected = expected
        self._digest = digest
        self._hints = Hints(random.Random())  # nosec B311 # whom to ask first is no secret
        self._wake = asyncio.Event()
        self.met: set[str] = set()
        """Nodes that this one has pulled from since it began."""
        self._kept: dict[str, Seen] = {}
        self._behind: set[str] = set()
        self._rests: dict[str, float] = {}
        self._collected_at = time.monotonic()
        self.synced = asyncio.Event()
        """This node has seen what a majority knows, since it began."""
        self.counts: Counter[str] = Counter()
        records.watch(lambda _: self._changed())
        self._changed()

    @property
    def registry(self) -> Registry:
        """This node's copy."""
        return self._records.registry

    def expect(self, nodes: int) -> None:
        """So many nodes are expected from now on."""
        self._expected = nodes

    def heard(self, node: str, digest: str) -> None:
        """A heartbeat of another node."""
        self._hints.heard(node, digest)
        if digest not in ("", self.registry.digest()) or node not in self.met:
            self._wake.set()

    def answer(self, args: Pull) -> Delta:
        """What the asker lacks."""
        if args.vector and args.asker:
            self.registry.heard(args.asker, args.vector)
        delta = self.registry.delta(args.vector, max(1, min(args.limit, MOST_RECORDS)), args.cursor)
        self.counts["answers"] += 1
        self.counts["records_out"] += len(delta.records)
        return delta

    def figures(self) -> dict[str, int]:
        """What it has cost since the router began, and what there is."""
        return {
            "records": len(self.registry),
            "tombstones": len(self.registry.tombstones()),
            "synced": int(self.synced.is_set()),
            **{name: self.counts[name] for name in _COUNTS},
        }

    async def run(self) -> None:
        """For ever; to be cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            now = loop.time()
            node = self._next(now >= due)
            if node is None:
                self._look_whether_enough()
                await self._rest(max(due - now, REST_SECONDS))
                continue
            due = now + PERIOD_SECONDS * (1 + random.random())  # nosec B311 # jitter
            await self._pull_surely(node)
            await self._collect_now_and_then()

    async def _rest(self, seconds: float) -> None:
        """Until something is heard."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    # ---- whom to ask -------------------------------------------------------------------------------

    def _others(self) -> list[str]:
        sight, now = self._sight(), time.monotonic()
        return [node for node in sight.reachable if node != sight.node_id and self._rests.get(node, 0.0) <= now]

    def _next(self, is_due: bool) -> str | None:
        others = self._others()
        unmet = [node for node in others if node not in self.met]
        return (
            self._hints.any_of(unmet)
            or self._hints.wanted(others, self.registry.digest())
            or (self._hints.any_of(others) if is_due else None)
        )

    def _look_whether_enough(self) -> None:
        if 2 * (1 + len(self.met)) > self._expected and self._sight().majority:
            self.synced.set()

    # ---- one pull ----------------------------------------------------------------------------------

    async def _pull_surely(self, node: str) -> None:
        """Whatever becomes of one pull, there are others."""
        try:
            await self.pull(node)
        except Exception as error:  # a peer of another release may answer anything
            if self._core.failed.done():
                raise
            told = logging.INFO if isinstance(error, CaxtonError) else logging.ERROR
            log.log(told, "pull from %s: %s: %s", node, type(error).__name__, error)
            self.counts["failed"] += 1
            self._rests[node] = time.monotonic() + FAILED_SECONDS
            return
        self.met.add(node)
        self._look_whether_enough()

    async def pull(self, node: str) -> int:
        """Takes over what that node has and this one lacks; gives how many records were news here."""
        exchange, came, digest = Exchange(self.registry), 0, ""
        while (ask := exchange.ask()) is not None:
            answer = await self._links.call(node, "peer.pull", ask, timeout=TIMEOUT_SECONDS)
            delta = _decode(answer)
            self.counts["pulls"] += 1
            self.counts["bytes_in"] += len(answer)
            came += await self._take(node, exchange, delta)
            digest = delta.digest
        self._hints.pulled(node, digest, self.registry.digest(), came)
        return came

    async def _take(self, node: str, exchange: Exchange, delta: Delta) -> int:
        """Until the changes are handed over nothing waits: what this node says itself comes before or after."""
        self._core.commits.hand_over()
        taken = exchange.take(delta)
        self.counts["records_in"] += len(delta.records)
        self.counts["news"] += len(taken.changed)
        self.counts["refused_ahead"] += len(taken.ahead)
        self._tell_ahead(node, {record.writer for record in taken.ahead})
        changes = self._applying.apply(taken.changed)
        changes.registry_seen.extend(self._moved())
        if changes:
            await self._core.commit(changes)
        return len(taken.changed)

    def _moved(self) -> list[Seen]:
        """What of the vector is not kept yet."""
        now = {one.writer: one for one in self.registry.seen()}
        moved = [one for writer, one in now.items() if self._kept.get(writer) != one]
        self._kept = now
        return moved

    def _tell_ahead(self, node: str, writers: set[str]) -> None:
        for writer in writers - self._behind:
            log.error("%s sent records of %s, whose clock is more than a minute ahead: refused for now", node, writer)
        self._behind = self._behind | writers if writers else self._behind

    def _changed(self) -> None:
        self._digest(self.registry.digest())

    # ---- tombstones --------------------------------------------------------------------------------

    async def _collect_now_and_then(self) -> None:
        if time.monotonic() - self._collected_at >= COLLECT_SECONDS:
            self._collected_at = time.monotonic()
            await self._forget_tokens()
            await self.collect()

    async def _forget_tokens(self) -> None:
        """Tokens that nobody would take any more need no record; one node says so for all."""
        sight = self._sight()
        if sight.majority and placement.first(bodies.REVOKED_TOKEN, sight.active) == sight.node_id:
            ended = self._records.ended_tokens(time.time() - TOKEN_SECONDS)
            if ended:
                self._core.commits.hand_over()
                await self._core.commit(Changes(registry=self._records.forget(bodies.REVOKED_TOKEN, ended)))

    async def collect(self) -> int:
        """Lets old tombstones go that all members have seen, those that cannot be reached too; gives how many."""
        sight = self._sight()
        self._core.commits.hand_over()
        gone = self.registry.collect(sight.nodes)
        if gone:
            removed = [(record.kind, record.name) for record in gone]
            await self._core.commit(Changes(registry_removed=removed, registry_seen=self._moved()))
        return len(gone)


_COUNTS: Final = ("pulls", "answers", "failed", "records_in", "records_out", "news", "refused_ahead", "bytes_in")
