"""The judge of a soak sees growth, a leak of descriptors, a lost process, a ledger that is off; and nothing else."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest

from soak.judge import FEWEST, Reading, problems

STEADY = 80_000_000


def run(
    change: Callable[[Reading], Reading] = lambda one: one, *, count: int = 40, step: int = 1_000
) -> list[Reading]:
    """A long run of a steady process, its memory a little up and down, with a change to every reading."""
    noise = random.Random(1)
    return [
        change(
            Reading(
                number * step,
                {"router": 7},
                {"router": STEADY + noise.randint(-400_000, 400_000)},
                {"router": 20 + noise.randint(0, 2)},
            )
        )
        for number in range(1, count + 1)
    ]


def test_a_steady_run_is_well() -> None:
    assert problems(run()) == []


def test_a_process_that_warms_up_and_stays_so_is_well() -> None:
    def warm(one: Reading) -> Reading:
        return dataclasses.replace(one, anonymous_bytes={"router": STEADY + min(one.units, 15_000) * 4_000})

    assert problems(run(warm)) == []


@pytest.mark.parametrize(
    ("bytes_each", "step"), [(1_000, 1_000), (100, 25_000), (40, 25_000)], ids=["fast", "slow", "very slow"]
)
def test_a_leak_is_seen(bytes_each: int, step: int) -> None:
    def leak(one: Reading) -> Reading:
        return dataclasses.replace(
            one, anonymous_bytes={"router": one.anonymous_bytes["router"] + one.units * bytes_each}
        )

    assert any("router grew" in line for line in problems(run(leak, step=step)))


def test_a_leak_of_descriptors_is_seen() -> None:
    def leak(one: Reading) -> Reading:
        return dataclasses.replace(one, descriptors={"router": 20 + one.units // 1_000})

    assert any("descriptors" in line for line in problems(run(leak)))


def test_a_ledger_that_is_off_once_is_seen() -> None:
    def off(one: Reading) -> Reading:
        return dataclasses.replace(one, imbalance=int(one.units == 7_000))

    assert [line for line in problems(run(off)) if "off by 1 after 7000" in line]


def test_a_process_that_was_started_again_is_seen() -> None:
    def crash(one: Reading) -> Reading:
        return dataclasses.replace(one, pids={"router": 7 if one.units < 20_000 else 8})

    assert any("did not live" in line for line in problems(run(crash)))


def test_too_few_readings_are_no_proof() -> None:
    assert problems(run(count=FEWEST)) == []
    assert problems(run(count=FEWEST - 1)) != []
