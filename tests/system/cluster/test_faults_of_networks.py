"""Whatever is cut, lost or late between nodes: nothing is lost, doubled, out of order or at two places, and it goes on."""

from __future__ import annotations

import pytest

from chaos.fixtures import started, survives
from chaos.run import one
from chaos.schedule import Fault, Kind
from chaos.trial import Trial

__all__ = ["started"]
pytestmark = pytest.mark.timeout(300)
SECONDS = 6.0
"""Twice the time after which a node is held for out."""
FAULTS = {
    "one node cut off": one(Kind.ISOLATE, 0, seconds=SECONDS),
    "one pair cut": one(Kind.CUT_PAIR, 0, 1, seconds=SECONDS),
    "one way cut": one(Kind.CUT_ONE_WAY, 1, 2, seconds=SECONDS),
    "a third of the packets lost": one(Kind.LOSS, 2, seconds=SECONDS),
    "0.3 s later": one(Kind.DELAY, 0, 2, seconds=SECONDS),
    "off and on": one(Kind.FLAP, 1, seconds=SECONDS),
}


@pytest.mark.parametrize("name", FAULTS)
def test_between_nodes(trial: Trial, name: str) -> None:
    survives(trial, FAULTS[name])


def test_all_nodes_cut_from_each_other(trial: Trial) -> None:
    survives(trial, *(Fault(1.0, Kind.ISOLATE, (number,), SECONDS) for number in range(3)))
