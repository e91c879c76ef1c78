"""Counters by agent: few series, and none that goes down, whoever gets a name and whoever loses it."""

from __future__ import annotations

import random
from collections import Counter

from caxton.protocol.execution import Usage
from caxton.protocol.views import LedgerRow
from caxton.router.agent_meters import ELECTION_SECONDS, OTHERS, AgentMeters
from caxton.router.operations.stats import of_the_busiest

PLACES = 4


class Clock:
    """What time it is, as a test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def usage(cpu_seconds: float = 0.001) -> Usage:
    return Usage(cpu_seconds * 2, cpu_seconds, 65_536, fuel=10)


def executions(meters: AgentMeters) -> dict[str, int]:
    return {row["agent"]: sum(row["executions"].values()) for row in meters.figures()}


def test_no_counter_goes_down_and_increases_add_up_to_what_happened() -> None:
    """As Prometheus sees it: scraped after each step; a series that is new, or below its last value, began at 0."""
    chance, clock = random.Random(7), Clock()
    meters = AgentMeters(PLACES, clock)
    before: dict[str, int] = {}
    increases: Counter[str] = Counter()
    had_a_name: set[str] = set()
    for step in range(6_000):
        clock.now += 1.0
        busy = step // 600  # others are the busy ones every ten minutes
        agent = f"a{busy * 3 + chance.randrange(3)}" if chance.random() < 0.7 else f"a{chance.randrange(60)}"
        meters.ended(agent, "ok", usage(chance.random()))
        now = executions(meters)
        assert len(now) <= PLACES + 1
        assert now[OTHERS] >= before.get(OTHERS, 0)
        for name, count in now.items():
            was = before.get(name, 0)
            assert name not in before or count >= was
            increases[name] += count - was
        had_a_name |= set(now)
        before = now
    assert increases.total() == 6_000
    assert len(had_a_name) > 2 * PLACES  # names did change hands


def test_the_busy_have_names_however_late_they_came() -> None:
    clock = Clock()
    meters = AgentMeters(PLACES, clock)
    for number in range(PLACES):
        meters.ended(f"early{number}", "ok", usage())
    assert set(meters.names) == {f"early{number}" for number in range(PLACES)}
    for _ in range(3):
        clock.now += ELECTION_SECONDS
        for _ in range(10):
            meters.ended("late", "ok", usage(1.0))
            meters.ended("early0", "ok", usage(0.6))  # not clearly less
    assert {"late", "early0"} < set(meters.names)
    assert len(meters.names) == PLACES
    for name in meters.names:
        meters.ended(name, "ok", usage(0.6))
    meters.ended("rare", "error", usage())
    meters.lost("rare", "lost")
    assert "rare" not in executions(meters)
    others = next(row for row in meters.figures() if row["agent"] == OTHERS)
    assert (others["executions"]["error"], others["executions"]["lost"]) == (1, 1)
    assert "memory_bytes" not in others


def test_the_ledger_shows_those_with_names_then_those_with_most_mail() -> None:
    rows = [LedgerRow(f"a{number}", number + 1, 1, 0, 0, 0, number, 0, 0, 0) for number in range(10)]
    shown = of_the_busiest(rows, ["a0"], 3)
    assert [row.name for row in shown] == ["a0", "a9", "a8", OTHERS]
    assert sum(row.accepted for row in shown) == sum(row.accepted for row in rows)
    assert of_the_busiest(rows, [], 10) == sorted(rows, key=lambda row: -row.pending)
