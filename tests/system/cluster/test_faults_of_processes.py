"""Whatever ends, of a node or all of it: nothing is lost, doubled, out of order or at two places, and it goes on."""

from __future__ import annotations

import pytest

from chaos.fixtures import started, survives
from chaos.run import one
from chaos.schedule import Kind
from chaos.trial import Trial

__all__ = ["started"]
pytestmark = pytest.mark.timeout(300)
KINDS = (Kind.KILL_WORKER, Kind.KILL_EXECUTOR, Kind.KILL_ROUTER, Kind.KILL_API, Kind.KILL_GOSSIP)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_is_killed(trial: Trial, kind: Kind) -> None:
    survives(trial, one(kind, KINDS.index(kind) % 3))


def test_a_node_without_power(trial: Trial) -> None:
    survives(trial, one(Kind.KILL_NODE, 0, seconds=5.0))


def test_all_nodes_without_power(trial: Trial) -> None:
    survives(trial, one(Kind.KILL_ALL_NODES))


def test_a_node_that_sleeps_for_a_minute(trial: Trial) -> None:
    survives(trial, one(Kind.PAUSE, 1, seconds=60.0))
