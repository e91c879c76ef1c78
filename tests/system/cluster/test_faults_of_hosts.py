"""Clocks that step and disks that are full or slow: nothing is lost, doubled, out of order or at two places."""

from __future__ import annotations

import time

import pytest

from caxton.protocol.access import Role, Scope
from caxton.protocol.operations import KeyCreate
from chaos.faults import CLOCK_SECONDS, SYNC_MILLISECONDS
from chaos.fixtures import started, survives
from chaos.run import one
from chaos.schedule import Kind, schedule
from chaos.trial import Trial

__all__ = ["started"]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("at", [1.01, 1.0], ids=["an hour ahead", "an hour back"])
def test_a_clock_that_steps(trial: Trial, at: float) -> None:
    def seen() -> bool:
        return abs(trial.cluster["n2"].sees("n1").get("clock_offset_seconds") or 0) > CLOCK_SECONDS / 2

    survives(trial, one(Kind.CLOCK, 0, seconds=5.0, at=at), shows=seen)


def test_a_full_disk(trial: Trial) -> None:
    def refuses() -> bool:
        ready = trial.cluster["n2"].answer("ready")
        return ready is not None and "low_disk" in ready["reasons"]

    survives(trial, one(Kind.FULL_DISK, 1, seconds=7.0), shows=refuses)


def test_a_disk_that_is_slow_to_say_that_it_has_written(trial: Trial) -> None:
    def slow() -> bool:
        begun = time.monotonic()
        subject = f"probe-{begun}"
        made = trial.cluster["n3"].answer("key.create", KeyCreate(subject, Scope(Role.VIEWER)))
        return made is not None and 1000 * (time.monotonic() - begun) >= SYNC_MILLISECONDS

    survives(trial, one(Kind.SLOW_DISK, 2, seconds=5.0), shows=slow)


@pytest.mark.parametrize("seed", [6])
def test_faults_at_random(trial: Trial, seed: int) -> None:
    survives(trial, *schedule(seed, 45.0, 3, list(Kind)))
