"""When a canary is promoted, taken back, or watched on."""

from __future__ import annotations

import pytest

from caxton.protocol.versions import Canary, Figures
from caxton.router.versions.gauge import SAMPLES, Gauge
from caxton.router.versions.verdicts import verdict

PLAN = Canary(min_executions=100, max_error_rate=0.05, max_latency_ratio=2.0)


def figures(executions: int, failed: int = 0, p50: float = 0.1) -> Figures:
    return Figures(executions, failed, failed / executions if executions else 0.0, p50, p50)


@pytest.mark.parametrize(
    ("new", "old", "over", "expected"),
    [
        (figures(0), figures(500), False, None),
        (figures(0), figures(500), True, None),
        (figures(99), figures(500), True, None),
        (figures(100), figures(500), False, None),
        (figures(100), figures(500), True, True),
        (figures(100, 5), figures(500), True, True),
        (figures(6, 6), figures(500), False, False),
        (figures(5, 5), figures(500), False, None),
        (figures(100, 6), figures(500), False, False),
        (figures(1000, 50), figures(500), True, True),
        (figures(100, 50), figures(500, 300), True, True),
        (figures(100, 70), figures(500, 300), True, False),
        (figures(100, p50=0.19), figures(500), False, None),
        (figures(100, p50=0.21), figures(500), False, False),
        (figures(100, p50=0.21), figures(99), True, True),
        (figures(100, p50=0.004), figures(500, p50=0.0001), True, True),
        (figures(100, p50=0.006), figures(500, p50=0.0001), True, False),
    ],
)
def test_verdicts(new: Figures, old: Figures, over: bool, expected: bool | None) -> None:
    found = verdict(PLAN, new, old, over=over)
    assert (None if found is None else found.promote) == expected


def test_without_tolerance_one_failure_is_enough() -> None:
    found = verdict(Canary(max_error_rate=0.0), figures(1, 1), figures(0), over=False)
    assert found is not None
    assert not found.promote


def test_a_gauge_counts_all_and_looks_at_the_newest() -> None:
    gauge = Gauge()
    for _ in range(SAMPLES):
        gauge.add(failed=True, seconds=9.0)
    for number in range(SAMPLES):
        gauge.add(failed=False, seconds=number / SAMPLES)
    found = gauge.figures()
    assert (found.executions, found.failed, found.error_rate) == (2 * SAMPLES, SAMPLES, 0.5)
    assert (found.p50_seconds, found.p95_seconds) == (0.5, 0.95)
