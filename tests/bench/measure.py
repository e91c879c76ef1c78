"""What every benchmark needs: percentiles, medians, tables, and where results go.

Owns the form of a result. Must never judge: a target is printed beside its figure.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

RESULTS = Path(__file__).resolve().parent / "results"


class Figure(msgspec.Struct, frozen=True):
    """One measured number; `target` as text, e.g. `≥ 0.25`."""

    name: str
    value: float
    unit: str
    target: str = ""


class Table(msgspec.Struct, frozen=True):
    """The figures of one benchmark, measured in one run."""

    title: str
    figures: list[Figure]
    notes: list[str] = []


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def alternate(rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Runs the sides in turn, `rounds` times, so that a drifting machine hits all alike."""
    results: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, values in zip(sides, results, strict=True):
            values.append(side())
    return results


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios round by round."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def rate(work: Callable[[], object], count: int) -> float:
    """Calls per second of `work`, over `count` calls."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - started)


def save(name: str, tables: Sequence[Table]) -> Path:
    """Writes the tables as JSON, with the machine they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    document = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine}
    path.write_text(json.dumps({**document, "tables": msgspec.to_builtins(tables)}, indent=1) + "\n")
    return path
