"""How each kind of fault is done to a cluster, and how it is ended.

Owns the table of both. Must never decide when.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from caxton.protocol.cluster import NodeDrain
from caxton.protocol.operations import Named
from chaos.schedule import Fault, Kind
from support.cluster_nodes import ClusterNode, LocalCluster

LOSS_PERCENT: Final = 30
DELAY_SECONDS: Final = 0.3
CLOCK_SECONDS: Final = 3600
SYNC_MILLISECONDS: Final = 500
FLAP_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 5.0


class Step(NamedTuple):
    """Something to do at a moment, seconds from the begin; the last of a fault ends it."""

    at: float
    do: Callable[[], object]


class Faults:
    """Does faults to a cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._drained: set[ClusterNode] = set()

    def undrain(self) -> bool:
        """Whether no node is drained any more: that outlives kills, and to end it the node must answer."""
        for node in list(self._drained):
            if node.answer("cluster.undrain", Named(node.name)) is not None:
                self._drained.discard(node)
        return not self._drained

    def steps(self, fault: Fault) -> list[Step]:
        """What there is to do, in order: at least the begin, and the end of one that lasts."""
        nodes = [self._cluster[self._cluster.names[number]] for number in fault.nodes]
        if fault.kind is Kind.FLAP:
            return self._flapping(fault, nodes)
        begin, end = self._both(fault, nodes)
        return [Step(fault.at, begin), *([Step(fault.at + fault.seconds, end)] if fault.seconds else [])]

    def end_all(self) -> None:
        """Whatever was done, nothing of it is left; nodes may take a while to notice."""
        for node in self._cluster:
            _go_on(node)
            node.host.clock(0)
            node.host.slow_disk(0)
            node.free_disk()
            _power_on(node)

    def _both(self, fault: Fault, nodes: list[ClusterNode]) -> tuple[Callable[[], object], Callable[[], object]]:
        """The begin and the end."""
        kind, each = fault.kind, nodes[0] if nodes else None
        if kind is Kind.KILL_ALL_NODES:
            return lambda: _all_off_and_on(list(self._cluster)), _nothing
        assert each is not None
        if kind in _KILLED:
            return lambda: _kill(each, _KILLED[kind]), _nothing
        if kind is Kind.DRAIN:
            return lambda: self._drain(each), lambda: self.undrain()
        if kind in _LOCAL:
            begin, end = _LOCAL[kind]
            return lambda: begin(each, fault), lambda: end(each)
        if kind is Kind.DELAY:
            ways = self._ways(fault, nodes)
            return lambda: self._cluster.delay(fault, ways, DELAY_SECONDS), lambda: self._cluster.end_delay(fault)
        percent = LOSS_PERCENT if kind is Kind.LOSS else 100
        ways = self._ways(fault, nodes)
        network = self._cluster.network
        return lambda: network.lose(fault, percent, *ways), lambda: network.mend(fault)

    def _drain(self, node: ClusterNode) -> None:
        """It takes its time, so it is asked for on the side."""
        self._drained.add(node)
        asked = NodeDrain(node.name, _DRAIN_SECONDS)
        threading.Thread(target=node.answer, args=("cluster.drain", asked), daemon=True).start()

    def _ways(self, fault: Fault, nodes: list[ClusterNode]) -> list[tuple[str, str]]:
        if len(nodes) == 1:
            return self._cluster.ways_of(nodes[0].name)
        one, other = (node.name for node in nodes)
        return [(one, other)] if fault.kind is Kind.CUT_ONE_WAY else [(one, other), (other, one)]

    def _flapping(self, fault: Fault, nodes: list[ClusterNode]) -> list[Step]:
        ways, network = self._ways(fault, nodes), self._cluster.network
        steps = []
        for number in range(int(fault.seconds / FLAP_SECONDS)):
            is_cut = number % 2 == 0
            do = (lambda: network.lose(fault, 100, *ways)) if is_cut else (lambda: network.mend(fault))
            steps.append(Step(fault.at + number * FLAP_SECONDS, do))
        return [*steps, Step(fault.at + fault.seconds, lambda: network.mend(fault))]


def _nothing() -> None:
    """It is over by itself."""


def _kill(node: ClusterNode, kind: str) -> None:
    for pid in node.pids(kind):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _all_off_and_on(nodes: list[ClusterNode]) -> None:
    running = [node for node in nodes if not node.is_down]
    for node in running:
        node.kill()
    for node in running:
        node.launch()


def _power_on(node: ClusterNode) -> None:
    if node.is_down:
        node.launch()


def _go_on(node: ClusterNode) -> None:
    if not node.is_down:
        node.signal_all(signal.SIGCONT)


def _turn_clock(node: ClusterNode, fault: Fault) -> None:
    node.host.clock(CLOCK_SECONDS if int(fault.at * 100) % 2 else -CLOCK_SECONDS)


_KILLED: Final = {
    Kind.KILL_WORKER: "worker",
    Kind.KILL_EXECUTOR: "executor",
    Kind.KILL_ROUTER: "router",
    Kind.KILL_API: "api",
    Kind.KILL_GOSSIP: "gossip",
}
_Begin = Callable[[ClusterNode, Fault], object]
_End = Callable[[ClusterNode], object]
_LOCAL: Final[dict[Kind, tuple[_Begin, _End]]] = {
    Kind.KILL_NODE: (lambda node, _: node.kill(), _power_on),
    Kind.PAUSE: (lambda node, _: node.signal_all(signal.SIGSTOP), _go_on),
    Kind.CLOCK: (_turn_clock, lambda node: node.host.clock(0)),
    Kind.FULL_DISK: (lambda node, _: node.fill_disk(), lambda node: node.free_disk()),
    Kind.SLOW_DISK: (lambda node, _: node.host.slow_disk(SYNC_MILLISECONDS), lambda node: node.host.slow_disk(0)),
}
