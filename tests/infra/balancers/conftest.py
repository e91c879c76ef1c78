"""A real haproxy and a real nginx on loopback, configured by the role caxton_lb, before three stand-ins for nodes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import balancers, load, stubs

ENGINES = ["haproxy", "nginx"]
HERE = Path(__file__).parent


def require(engine: str) -> None:
    """Skips where the engine or Ansible is not installed."""
    if lacking := balancers.missing(engine):
        pytest.skip(lacking)


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    require(request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def nodes() -> Iterator[dict[str, stubs.Stub]]:
    with stubs.stubs("node1", "node2", "node3") as made:
        yield made


@pytest.fixture(scope="session")
def balancer(engine: str, nodes: dict[str, stubs.Stub]) -> Iterator[balancers.Balancer]:
    with balancers.balancing(engine, nodes) as made:
        yield made


@pytest.fixture
def during_load(record_property: Callable[[str, object], None]) -> Callable[..., dict[str, Any]]:
    """Runs an action a second into a load and returns the load's report."""

    def run(plan: load.Plan, action: Callable[[], object]) -> dict[str, Any]:
        report: dict[str, Any] = {}
        thread = threading.Thread(target=lambda: report.update(asyncio.run(load.Client(plan).run())))
        thread.start()
        try:
            threading.Event().wait(1.0)  # the load is under way: a part of the scenario, not a wait for something
            action()
        finally:
            thread.join()
        record_property("load", report)
        return report

    return run


@pytest.fixture
def all_ready(balancer: balancers.Balancer, nodes: dict[str, stubs.Stub]) -> Iterator[None]:
    """Afterwards every node runs and is ready again, whatever the test did to it."""
    yield
    for name, stub in nodes.items():
        if stub.process is None:
            stub.start()
        stub.tell("undrain")
        balancer.until_state(name, "UP")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ansible renders some of these configurations more than once, on cores that others use too."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(300))
