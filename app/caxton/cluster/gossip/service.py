"""Who is a member, kept up to date, and what this node says of itself.

Owns the connection to the serf agent of this host. Must never start serf, nor fail with it: without it the members
stay those that were known last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from caxton.cluster.gossip import rpc
from caxton.cluster.gossip.addresses import other_seeds
from caxton.cluster.gossip.members import MAX_DIGEST, GossipMember, Tags, member
from caxton.cluster.gossip.rendering import own_tags, read_token
from caxton.config import Config, Coordination, node_name
from caxton.protocol.errors import CaxtonError
from caxton.protocol.peers import NodeState

RETRY_SECONDS: Final = 0.5
REFRESH_SECONDS: Final = 10.0
"""serf drops events when they come too fast, so it is asked from time to time too."""
GATHER_SECONDS: Final = 0.05
"""How long events may gather before serf is asked what became of it all."""
REJOIN_SECONDS: Final = 10.0
LONELY_SECONDS: Final = 15.0
"""A node whose seeds do not answer for so long is ready all the same: it may be the last one there is."""

log = logging.getLogger(__name__)


class Gossip:
    """The members as serf sees them. Everything on the loop that runs `run`."""

    def __init__(self, config: Config) -> None:
        self.node_id = node_name(config)
        self._config = config
        self._members: Mapping[str, GossipMember] = MappingProxyType({})
        self._watchers: list[Callable[[], None]] = []
        self._tags: Tags | None = None
        self._state, self._digest = NodeState.ACTIVE, ""
        self._woken = asyncio.Event()
        self._settled = False
        self._answers_since: float | None = None
        self._lost_at: float | None = None
        self._told: str | None = None

    def reconfigure(self, own: Coordination) -> None:
        """Other seeds and another number of nodes hold from now on; everything else as when it began."""
        now = replace(self._config.coordination, seeds=own.seeds, expected_nodes=own.expected_nodes)
        self._config = replace(self._config, coordination=now)

    def members(self) -> Mapping[str, GossipMember]:
        """By node id, this node included; read-only, a new one whenever something changed."""
        return self._members

    def watch(self, callback: Callable[[], None]) -> None:
        """Calls `callback` after each change of `members()`."""
        self._watchers.append(callback)

    def set_tags(self, *, state: NodeState | None = None, digest: str | None = None) -> None:
        """Says of this node what is given, to serf and so to the others, now and whenever serf comes back.

        `digest`: at most 64 bytes, else `ValueError`.
        """
        if digest is not None and len(digest.encode()) > MAX_DIGEST:
            raise ValueError(f"a digest of {len(digest.encode())} bytes; gossip has room for {MAX_DIGEST}")
        new = (self._state if state is None else state, self._digest if digest is None else digest)
        if new != (self._state, self._digest):
            self._state, self._digest = new
            self._woken.set()

    @property
    def connected(self) -> bool:
        """Whether serf answers now; else the members are those that were known last."""
        return self._answers_since is not None

    @property
    def joined(self) -> bool:
        """Whether this node is in the cluster: serf runs, and another member was met, or there is nobody to meet."""
        now, own = time.monotonic(), self._config.coordination
        settled = self._settled or (own.expected_nodes <= 1 and not own.seeds)
        if self._answers_since is not None:
            return settled or now - self._answers_since >= LONELY_SECONDS
        return settled and self._lost_at is not None and now - self._lost_at < own.detection_timeout

    async def run(self) -> None:
        """For ever; to be cancelled."""
        while True:
            try:
                async with self._connect() as client:
                    await self._follow(client)
            except CaxtonError as error:
                self._lost(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def leave(self) -> None:
        """Says goodbye: the others call this node left, and its serf ends. `UNREACHABLE` when there is none."""
        async with self._connect() as client:
            await client.leave()

    async def force_leave(self, node: str) -> None:
        """Sends a failed node away: it counts as left until it comes back."""
        async with self._connect() as client:
            await client.force_leave(node)

    def _connect(self) -> AbstractAsyncContextManager[rpc.Client]:
        """To the agent that runs now: each has a token of its own."""
        return rpc.connect(self._config.coordination.gossip_rpc_address, read_token(self._config.paths))

    async def _follow(self, client: rpc.Client) -> None:
        """Keeps the members as serf has them, until it goes away."""
        self._tags = await asyncio.to_thread(own_tags, self._config)
        said: Tags | None = None
        await client.on_member_event(self._woken.set)
        joining = asyncio.create_task(self._join_others())
        try:
            while True:
                self._woken.clear()
                said = await self._say(client, said)
                self._take(await client.members())
                await self._rest(client)
        finally:
            joining.cancel()

    async def _rest(self, client: rpc.Client) -> None:
        """Until something happened, or it is time to ask again."""
        try:
            async with asyncio.timeout(REFRESH_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_SECONDS)

    async def _say(self, client: rpc.Client, said: Tags | None) -> Tags:
        assert self._tags is not None
        wanted = replace(self._tags, state=self._state, digest=self._digest)
        if wanted != said:
            await client.set_tags(wanted.as_tags())
        return wanted

    def _take(self, rows: list[rpc.MemberRow]) -> None:
        found = {row.Name: member(row.Name, row.Status, row.Tags or {}) for row in rows}
        new = {name: one for name, one in found.items() if one is not None}
        if self._answers_since is None:
            self._answers_since, self._told = time.monotonic(), None
            log.info("serf answers: %d members", len(new))
        self._settled = self._settled or any(one.alive for name, one in new.items() if name != self.node_id)
        if new != self._members:
            self._members = MappingProxyType(new)
            for callback in self._watchers:
                callback()

    async def _join_others(self) -> None:
        """Knocks at the seeds while members are missing: serf itself gives up after its first success."""
        while True:
            await asyncio.sleep(REJOIN_SECONDS)
            alive = sum(one.alive for one in self._members.values())
            if alive >= max(2, self._config.coordination.expected_nodes):
                continue
            seeds = await asyncio.to_thread(other_seeds, self._config)
            try:
                async with self._connect() as client:
                    await client.join(seeds) if seeds else None
            except CaxtonError as error:
                log.debug("could not ask serf to join the seeds: %s", error.message)

    def _lost(self, error: CaxtonError) -> None:
        if self._answers_since is not None:
            self._settled = self.joined
            self._answers_since, self._lost_at = None, time.monotonic()
        if self._told != error.code:
            self._told = error.code
            log.warning("no membership: %s; trying on (caxton-gossip runs serf)", error.message)
