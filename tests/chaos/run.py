"""A schedule of faults, played on a cluster under load.

Owns the clock of a run and what it measures. Must never judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.faults import Faults
from chaos.schedule import Fault, Kind
from chaos.trial import Trial
from support.cluster_nodes import LocalCluster

RECOVERY_SECONDS: Final = 60.0
FELT_SECONDS: Final = 45.0
"""How much longer than asked a fault may last until it is felt."""
_TICK_SECONDS: Final = 0.05
_TAIL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Recovery:
    """How long after the end of a fault something was accepted through every node again, seconds; -1: never seen."""

    fault: Fault
    seconds: float


def play(
    trial: Trial, faults: Iterable[Fault], tell: Callable[[str], object], is_felt: Callable[[], bool] = lambda: True
) -> list[Recovery]:
    """Plays them while clients talk; ends when all are over, the cluster takes messages everywhere and is at rest.

    `is_felt` is asked from the first step on; no other is done before it says so, or `FELT_SECONDS` late.

    Only faults at whose end no other one lasts have a recovery: else it would not be theirs.
    """
    faults, doing = list(faults), Faults(trial.cluster)
    steps = sorted(((step, fault) for fault in faults for step in doing.steps(fault)), key=lambda both: both[0].at)
    ends: dict[Fault, float] = {}
    with trial.load():
        begun, told = time.monotonic(), set[Fault]()
        for step, fault in steps:
            due = begun + step.at
            while time.monotonic() < due or (told and not is_felt() and time.monotonic() < due + FELT_SECONDS):
                _tend(trial.cluster)
                time.sleep(_TICK_SECONDS)
            if fault not in told:
                tell(str(fault))
                told.add(fault)
            step.do()
            ends[fault] = time.monotonic()
        doing.end_all()
        last = time.monotonic()
        while (
            not (doing.undrain() and trial.all_accepted_since(last) >= 0)
            and time.monotonic() - last < RECOVERY_SECONDS
        ):
            _tend(trial.cluster)
            time.sleep(_TICK_SECONDS)
        time.sleep(_TAIL_SECONDS)  # of ordinary load, for what comes out late
    alone = [one for one in faults if not _meets_another(one, faults)]
    return [Recovery(one, trial.all_accepted_since(ends[one])) for one in alone]


def one(kind: Kind, *nodes: int, seconds: float = 0.0, at: float = 1.0) -> Fault:
    """A fault by itself, soon after the begin."""
    return Fault(at, kind, nodes, seconds)


def run(seed: int, faults: list[Fault], nodes: int, logs: Path, tell: Callable[[str], object]) -> list[str]:
    """A whole run on a cluster of its own: what is wrong at its end. Its nodes' logs are kept when something is."""
    begun = time.monotonic()
    with LocalCluster(nodes) as cluster:
        try:
            trial = Trial(cluster.start())
            trial.deploy()
            tell(f"seed {seed}, {len(faults)} faults; {nodes} nodes whole after {time.monotonic() - begun:.0f} s")
            recoveries = play(trial, faults, tell)
            found = trial.verdict()
        except BaseException:
            cluster.keep_logs(logs)
            tell(f"logs of the nodes: {logs}")
            raise
        if found:
            cluster.keep_logs(logs)
            tell(f"logs of the nodes: {logs}")
    for line in figures(trial, recoveries):
        tell(line)
    return found


def figures(trial: Trial, recoveries: list[Recovery]) -> list[str]:
    """What was measured, as lines."""
    worst: dict[Kind, float] = {}
    for recovery in recoveries:
        worst[recovery.fault.kind] = max(worst.get(recovery.fault.kind, 0.0), recovery.seconds)
    lines = [f"{sum(len(one.sent) for one in trial.clients)} messages accepted; "
             f"longest wait for one {max(one.longest_wait for one in trial.clients):.1f} s"]  # fmt: skip
    return lines + [f"recovery from {kind}: {seconds:.1f} s" for kind, seconds in sorted(worst.items())]


def _tend(cluster: LocalCluster) -> None:
    for node in cluster:
        node.tend()


def _meets_another(fault: Fault, faults: list[Fault]) -> bool:
    end = fault.at + fault.seconds
    return any(other.at <= end + RECOVERY_SECONDS / 20 and fault.at <= other.at + other.seconds
               for other in faults if other is not fault)  # fmt: skip
