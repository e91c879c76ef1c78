"""What tests of faults share: a started cluster with agents, once for a file.

Owns the fixture and the bound on recovery. Must never break anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from chaos.run import play
from chaos.schedule import Fault
from chaos.trial import Trial
from support.cluster_nodes import LocalCluster, missing

BOUND_SECONDS: Final = 45.0
"""Generous: on a quiet machine it is a few seconds; benchmarks measure that."""


@pytest.fixture(scope="module", name="trial")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A cluster of three with its agents; it is as good as new after each test."""
    if lacking := missing():
        pytest.skip(lacking)
    with LocalCluster(3) as cluster:
        try:
            trial = Trial(cluster.start())
            trial.deploy()
            yield trial
        finally:
            logs = tmp_path_factory.mktemp("nodes")
            cluster.keep_logs(logs)
            print(f"logs of the nodes: {logs}")


def survives(trial: Trial, *faults: Fault, shows: Callable[[], bool] | None = None) -> None:
    """The faults happen under load: nothing is lost, doubled, out of order or at two places, and it goes on soon.

    `shows`: by what they are seen while they last; without that nothing was shown.
    """
    seen: list[bool] = []

    def is_felt() -> bool:
        if shows is not None and not any(seen):
            seen.append(shows())
        return shows is None or any(seen)

    recoveries = play(trial, faults, print, is_felt)
    assert shows is None or any(seen), "the faults were not felt"
    found = trial.verdict()
    found += [f"{node.name}: a traceback in its log" for node in trial.cluster if "Traceback" in node.served.log]
    assert not found, "\n".join(found)
    for recovery in recoveries:
        print(f"recovered from {recovery.fault.kind} after {recovery.seconds:.1f} s")
        assert 0 <= recovery.seconds < BOUND_SECONDS, recovery


__all__ = ["BOUND_SECONDS", "started", "survives"]
