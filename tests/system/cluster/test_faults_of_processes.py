"""Whatever ends, of a node or all of it: nothing is lost, doubled, out of order or at two places, and it goes on."""

from __future__ import annotations

import pytest

from chaos.fixtures import started, survives
from chaos.run import one
from chaos.schedule import Kind
from chaos.trial import Trial

__all__ = ["started"]
pytestmark = pytest.mark.timeout(300)
KILLED = {
    Kind.KILL_WORKER: "worker",
    Kind.KILL_EXECUTOR: "executor",
    Kind.KILL_ROUTER: "router",
    Kind.KILL_API: "api",
    Kind.KILL_GOSSIP: "gossip",
}


@pytest.mark.parametrize("kind", KILLED)
def test_a_process_that_is_killed(trial: Trial, kind: Kind) -> None:
    number = list(KILLED).index(kind) % 3
    node = trial.cluster[trial.cluster.names[number]]
    before = set(node.pids(KILLED[kind]))
    assert before
    survives(trial, one(kind, number))
    assert before.isdisjoint(node.pids(KILLED[kind]))


def test_a_node_without_power(trial: Trial) -> None:
    gone = lambda: trial.cluster["n2"].sees("n1").get("path") == "none"  # noqa: E731
    survives(trial, one(Kind.KILL_NODE, 0, seconds=7.0), shows=gone)


def test_all_nodes_without_power(trial: Trial) -> None:
    before = {pid for node in trial.cluster for pid in node.served.descendants()}
    survives(trial, one(Kind.KILL_ALL_NODES))
    assert before.isdisjoint(pid for node in trial.cluster for pid in node.served.descendants())


def test_a_node_that_sleeps_for_a_minute(trial: Trial) -> None:
    gone = lambda: trial.cluster["n1"].sees("n2").get("path") == "none"  # noqa: E731
    survives(trial, one(Kind.PAUSE, 1, seconds=60.0), shows=gone)
