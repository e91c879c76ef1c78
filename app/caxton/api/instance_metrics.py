"""Metrics of agents' instances: how they start, why they leave memory, what memory pressure found.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric

from caxton.api.families import counters, histogram


def instance_metrics(prefix: str, figures: dict[str, Any]) -> Iterator[Metric]:
    """`figures` as the router's `InstanceMeters` gives them."""
    yield counters(f"{prefix}_agent_starts", "Starts of agents by how they ended", "outcome", figures["starts"])
    yield histogram(f"{prefix}_agent_start_seconds", "Time that starts of agents took", figures["start_seconds"])
    ends = CounterMetricFamily(f"{prefix}_instance_ends", "Instances that left memory", labels=["reason", "outcome"])
    for reason, outcome, count in figures["ends"]:
        ends.add_metric([reason, outcome], count)
    yield ends
    yield CounterMetricFamily(
        f"{prefix}_agent_shutdown_timeouts",
        "Instances that were ended before their shutdown had returned",
        value=figures["shutdown_timeouts"],
    )
    looks = figures["pressure_looks"]
    yield counters(f"{prefix}_memory_pressure_looks", "Looks at the memory by what was found", "finding", looks)
