"""Nodes that beat, in a simulated network and a simulated time; what they hold true is computed by the real code."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from caxton.cluster.gossip.members import GossipMember, Standing
from caxton.cluster.membership import Members, Membership, Rules
from caxton.protocol.peers import Beat, NodeState

INTERVAL = 1.0
DETECTION = 5.0


def sighting(node: str, standing: Standing = Standing.ALIVE, state: NodeState = NodeState.ACTIVE) -> GossipMember:
    """What serf says of a node."""
    return GossipMember(node, f"{node}:8080", standing, 1, "test", state, "")


class Network:
    """`count` nodes that all know each other. `hears(a, b)` says whether what a sends now comes to b.

    `slowest`: seconds that a way may take. `checks` are called whenever somebody has looked.
    """

    def __init__(self, count: int, seed: int, slowest: float = 0.2) -> None:
        self.nodes = [f"n{number}" for number in range(count)]
        self.now = 1_000.0
        self.cut: set[tuple[str, str]] = set()
        self.asleep: set[str] = set()
        self.checks: list[Callable[[], None]] = []
        self.held: dict[str, Members] = {}
        self.history: dict[str, list[Members]] = {}
        self._random = Random(seed)
        self._slowest = slowest
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        rules = Rules(count, DETECTION)
        self.machines = {node: Membership(node, rules, self.now) for node in self.nodes}
        for node, machine in self.machines.items():
            machine.sighted({one: sighting(one) for one in self.nodes}, self.now)
            self._look(node)
            self._at(self._random.uniform(0, INTERVAL), partial(self._tick, node))

    # ---- what befalls them -------------------------------------------------------------------------

    def part(self, *groups: Iterable[str]) -> None:
        """From now on nobody hears anybody of another group; who is in none is alone."""
        of = {node: number for number, group in enumerate(groups) for node in group}
        self.cut = {
            (one, other)
            for one in self.nodes
            for other in self.nodes
            if one != other and of.get(one, one) != of.get(other, other)
        }

    def heal(self) -> None:
        """Everybody hears everybody."""
        self.cut = set()

    def sleep(self, node: str) -> None:
        """As by SIGSTOP: what comes for it waits."""
        self.asleep.add(node)

    def wake(self, node: str) -> None:
        """It goes on, with all that has come meanwhile."""
        self.asleep.discard(node)
        for late in self._waiting.pop(node, []):
            late()

    def run(self, seconds: float) -> None:
        """Time passes."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, happens = heapq.heappop(self._queue)
            happens()
        self.now = end

    def look(self) -> dict[str, Members]:
        """What those who are awake hold true now."""
        for node in self.nodes:
            if node not in self.asleep:
                self._look(node)
        return {node: self.held[node] for node in self.nodes if node not in self.asleep}

    # ---- what they do ------------------------------------------------------------------------------

    def _tick(self, node: str) -> None:
        self._wakeful(node, lambda: self._beat(node))

    def _beat(self, node: str) -> None:
        self._look(node)
        for peer in self.nodes:
            if peer != node:
                self._ask(node, peer, self.now)
        self._at(INTERVAL * self._random.uniform(0.9, 1.1), lambda: self._tick(node))

    def _ask(self, node: str, peer: str, sent: float) -> None:
        beat = self._made(node)
        self._pass(node, peer, lambda: self._answer(peer, node, beat, sent))

    def _answer(self, node: str, asker: str, beat: Beat, sent: float) -> None:
        self.machines[node].heard(beat, self.now)
        self._look(node)
        answer = self._made(node)
        self._pass(node, asker, lambda: self._answered(asker, answer, sent))

    def _answered(self, node: str, answer: Beat, sent: float) -> None:
        self.machines[node].answered(answer, sent, self.now)
        self._look(node)

    def _made(self, node: str) -> Beat:
        return Beat(node_id=node, boot_id="x", at=self.now, missing=self.machines[node].missing)

    def _look(self, node: str) -> None:
        before, after = self.held.get(node), self.machines[node].look(self.now)
        if after != before:
            self.held[node] = after
            self.history.setdefault(node, []).append(after)
            for check in self.checks:
                check()

    # ---- the network -------------------------------------------------------------------------------

    def _pass(self, source: str, target: str, happens: Callable[[], None]) -> None:
        """What is on its way while a cut begins is lost as well."""

        def arrives() -> None:
            if (source, target) not in self.cut:
                self._wakeful(target, happens)

        if (source, target) not in self.cut:
            self._at(self._random.uniform(0.001, self._slowest), arrives)

    def _wakeful(self, node: str, happens: Callable[[], None]) -> None:
        if node in self.asleep:
            self._waiting.setdefault(node, []).append(happens)
        else:
            happens()

    def _at(self, seconds: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), happens))
