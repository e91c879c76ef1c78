"""Labs for the tests of this room: 10.42.5.0/24 and, where a test needs two at once, 10.42.7.0/24."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import requirements
from lab.labs import Lab

NODES = {"node1": "10.42.5.11", "node2": "10.42.5.12", "node3": "10.42.5.13"}
FIVE = {**NODES, "lb1": "10.42.5.21", "lb2": "10.42.5.22"}


@pytest.fixture(scope="session")
def machinery() -> None:
    """Skips what needs lab machines where there cannot be any."""
    if (lack := requirements.missing()) is not None:
        pytest.skip(lack)


def running(hosts: dict[str, str], **options: frozenset[str]) -> Iterator[Lab]:
    """A lab that is gone before and after."""
    lab = Lab("infra")
    lab.down()
    try:
        lab.up(hosts, **options)  # type: ignore[arg-type]
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def five(machinery: None) -> Iterator[Lab]:
    """Three nodes and two balancers, shared by a module's tests, which leave them as they were."""
    yield from running(FIVE)


@pytest.fixture(scope="module")
def three(machinery: None) -> Iterator[Lab]:
    """Three nodes, one module's."""
    yield from running(NODES)


@pytest.fixture(scope="module")
def hybrid(machinery: None) -> Iterator[Lab]:
    """One node on which CPUQuota and TasksMax bind."""
    yield from running({"node1": NODES["node1"]}, hybrid=frozenset({"node1"}))


@pytest.fixture
def nothing(machinery: None) -> Iterator[Lab]:
    """A lab that is down; whatever the test makes of it is removed."""
    lab = Lab("infra")
    lab.down()
    yield lab
    lab.down()
