"""Heartbeats: asked of every peer over its link, answered to every peer, and what this node holds true by them.

Owns when they are sent, and the one current `Members`. Must never act on who is a member: others watch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

import msgspec

from caxton import __version__
from caxton.cluster.gossip.members import GossipMember, Standing
from caxton.cluster.links import Peers
from caxton.cluster.membership import Members, Membership, Rules, changes
from caxton.cluster.registry import hinted
from caxton.config import Coordination
from caxton.protocol.errors import CaxtonError
from caxton.protocol.ids import new_id
from caxton.protocol.peers import Beat, NodeState
from caxton.router.cluster.clocks import Clocks

log = logging.getLogger(__name__)
_decode: Final = msgspec.json.Decoder(Beat).decode
Publish = Callable[[str, dict[str, Any]], None]


def awake_clock() -> float:
    """Seconds that no clock step changes, and that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Beats:
    """`sightings`: the members as serf sees them. Everything on the loop that runs `run`."""

    def __init__(
        self,
        node_id: str,
        own: Coordination,
        links: Peers,
        sightings: Callable[[], Mapping[str, GossipMember]],
        publish: Publish,
    ) -> None:
        self.digest = ""
        """Of this node's registry, as its heartbeats tell it."""
        self.clocks = Clocks(publish)
        self._own, self._links, self._sightings, self._publish = own, links, sightings, publish
        self._boot_id = new_id()
        self._chance = Random()  # nosec B311 # whom to tell first is no secret
        self._machine = Membership(node_id, Rules(own.expected_nodes, own.detection_timeout), awake_clock())
        self._members = Members(node_id)
        self._watchers: list[Callable[[Members, Members], None]] = []
        self._hearers: list[Callable[[Beat], None]] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._answered: dict[str, float] = {}
        """When a peer last answered, or its link came up."""
        self._up: frozenset[str] = frozenset()

    @property
    def members(self) -> Members:
        """What holds now; never what held before this process slept."""
        if awake_clock() > self._machine.holds_until:
            self.look()
        return self._members

    def watch(self, callback: Callable[[Members, Members], None]) -> None:
        """Calls `callback` with what held before and what holds now, after each change."""
        self._watchers.append(callback)

    def hear(self, callback: Callable[[Beat], None]) -> None:
        """Calls `callback` with each heartbeat of another node, sent or answered by it."""
        self._hearers.append(callback)

    def tell(self, digest: str) -> None:
        """What this node's registry is like now; some of the others are told at once, if it is running."""
        if digest == self.digest:
            return
        self.digest = digest
        for node in hinted(self._links.up(), self._chance):
            self._ask(node)

    def say(self, state: NodeState) -> None:
        """What this node says of itself from now on."""
        self._machine.state = state
        self.look()

    def expect(self, nodes: int) -> None:
        """So many nodes are expected from now on."""
        self._machine.expect(nodes)
        self.look()

    def relays(self, node: str) -> tuple[str, ...]:
        """Those who reach the node for us."""
        return self._members.relays.get(node, ())

    def met(self) -> None:
        """serf's members changed, or they are looked at for the first time."""
        found = self._sightings()
        self._machine.sighted(found, awake_clock())
        others = {node: one for node, one in found.items() if node != self._machine.node_id}
        # Also to those that serf calls failed: it may be wrong, and they may be back before it knows.
        self._links.meet({node: one.api_address for node, one in others.items() if one.standing is not Standing.LEFT})
        for node, one in others.items():
            if one.alive:
                self._links.hurry(node)
        self.look()

    def linked(self) -> None:
        """A link came up or went down: who has just come is asked at once."""
        up = self._links.up()
        new, self._up = up - self._up, up
        for node in new:
            self._answered[node] = awake_clock()
            self._ask(node)

    def heard(self, beat: Beat) -> Beat:
        """A peer's heartbeat; answered by ours."""
        self._machine.heard(beat, awake_clock())
        self._links.hurry(beat.node_id)
        self._take(beat, time.time())
        return self._beat()

    async def run(self) -> None:
        """For ever; to be cancelled."""
        self.met()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.look()
            for node in self._links.up():
                if self._is_deaf(node):
                    self._links.cut(node)
                else:
                    self._ask(node)
            due = max(due + self._own.heartbeat_interval, loop.time())
            await asyncio.sleep(due - loop.time())

    def look(self) -> None:
        """Decides anew; whoever watches is told what changed."""
        before, after = self._members, self._machine.look(awake_clock())
        if after == before:
            return
        self._members = after
        for name, data in changes(before, after):
            log.log(logging.WARNING if name.endswith("lost") else logging.INFO, "%s: %s", name, data)
            self._publish(name, data)
        for callback in self._watchers:
            callback(before, after)

    def _is_deaf(self, node: str) -> bool:
        """Whether a link is there and was not answered on for so long that there is nobody at its other end."""
        last = max(self._answered.get(node, 0.0), self._machine.awake)
        return awake_clock() - last > self._own.detection_timeout

    def _ask(self, node: str) -> None:
        task = asyncio.get_running_loop().create_task(self._asked(node))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _asked(self, node: str) -> None:
        sent, wall = awake_clock(), time.time()
        packed = msgspec.msgpack.encode(self._beat())
        try:
            beat = _decode(await self._links.direct(node, "peer.beat", packed, timeout=self._own.detection_timeout))
        except (CaxtonError, msgspec.MsgspecError) as error:
            log.debug("no answer to a heartbeat from %s: %s", node, error)
            return
        now = awake_clock()
        if beat.node_id != node or (figures := self._links.figures_of(node)) is None:
            return
        self._answered[node] = now
        figures.rtt_seconds, figures.answered_at = now - sent, time.time()
        self._machine.answered(beat, sent, now)
        self._take(beat, wall + (now - sent) / 2)

    def _take(self, beat: Beat, wall: float) -> None:
        """`wall`: our clock when the peer's was `beat.at`, as far as can be told."""
        self.clocks.compare(beat, wall)
        self.look()
        for callback in self._hearers:
            callback(beat)

    def _beat(self) -> Beat:
        return Beat(
            node_id=self._machine.node_id,
            boot_id=self._boot_id,
            at=time.time(),
            state=self._machine.state,
            missing=self._machine.missing,
            digest=self.digest,
            software=__version__,
        )
