"""The part of a soak that fits into every run of the tests; all of it is `make soak`."""

from __future__ import annotations

import pytest

from soak.instances import cycle
from soak.judge import problems
from soak.load import soak

EXECUTIONS = 75_000
INSTANCES = 20_000


@pytest.mark.timeout(600)
def test_every_way_an_execution_can_go_leaves_nothing_behind() -> None:
    assert problems(soak(EXECUTIONS, lambda _: None)) == []


@pytest.mark.timeout(300)
def test_instances_come_and_go_without_a_trace() -> None:
    assert problems(cycle(INSTANCES, lambda _: None)) == []
