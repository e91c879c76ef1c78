"""Clocks that step and disks that are full or slow: nothing is lost, doubled, out of order or at two places."""

from __future__ import annotations

import pytest

from chaos.fixtures import started, survives
from chaos.run import one
from chaos.schedule import Kind, schedule
from chaos.trial import Trial

__all__ = ["started"]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("at", [1.01, 1.0], ids=["an hour ahead", "an hour back"])
def test_a_clock_that_steps(trial: Trial, at: float) -> None:
    survives(trial, one(Kind.CLOCK, 0, seconds=5.0, at=at))


def test_a_full_disk(trial: Trial) -> None:
    survives(trial, one(Kind.FULL_DISK, 1, seconds=5.0))


def test_a_disk_that_is_slow_to_say_that_it_has_written(trial: Trial) -> None:
    survives(trial, one(Kind.SLOW_DISK, 2, seconds=5.0))


@pytest.mark.parametrize("seed", [6])
def test_faults_at_random(trial: Trial, seed: int) -> None:
    survives(trial, *schedule(seed, 45.0, 3, list(Kind)))
