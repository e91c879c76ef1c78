"""Whatever is cut, lost or late between nodes: nothing is lost, doubled, out of order or at two places."""

from __future__ import annotations

import pytest

from chaos.faults import DELAY_SECONDS
from chaos.fixtures import started, survives
from chaos.run import one
from chaos.schedule import Fault, Kind
from chaos.trial import Trial

__all__ = ["started"]
pytestmark = pytest.mark.timeout(300)
SECONDS = 7.0
"""Twice the time after which a node is held for out."""


def minority(trial: Trial, name: str) -> bool:
    status = trial.cluster[name].answer("cluster.status")
    return status is not None and not status["majority"]


def test_one_node_cut_off(trial: Trial) -> None:
    survives(trial, one(Kind.ISOLATE, 0, seconds=SECONDS), shows=lambda: minority(trial, "n1"))


def test_one_pair_cut(trial: Trial) -> None:
    relayed = lambda: trial.cluster["n1"].sees("n2").get("relays") == ["n3"]  # noqa: E731
    survives(trial, one(Kind.CUT_PAIR, 0, 1, seconds=SECONDS), shows=relayed)


def test_one_way_cut(trial: Trial) -> None:
    relayed = lambda: trial.cluster["n2"].sees("n3").get("path") == "relay"  # noqa: E731
    survives(trial, one(Kind.CUT_ONE_WAY, 1, 2, seconds=SECONDS), shows=relayed)


def test_a_third_of_the_packets_lost(trial: Trial) -> None:
    survives(trial, one(Kind.LOSS, 2, seconds=SECONDS), shows=lambda: trial.cluster.network.dropped("n3") > 10)


def test_everything_late(trial: Trial) -> None:
    late = lambda: (trial.cluster["n1"].sees("n3").get("rtt_seconds") or 0) >= 2 * DELAY_SECONDS  # noqa: E731
    survives(trial, one(Kind.DELAY, 0, 2, seconds=2 * SECONDS), shows=late)


def test_a_link_that_flaps(trial: Trial) -> None:
    survives(trial, one(Kind.FLAP, 1, seconds=SECONDS), shows=lambda: trial.cluster.network.dropped("n2") > 0)


def test_all_nodes_cut_from_each_other(trial: Trial) -> None:
    faults = (Fault(1.0, Kind.ISOLATE, (number,), SECONDS) for number in range(3))
    survives(trial, *faults, shows=lambda: all(minority(trial, name) for name in trial.cluster.names))
