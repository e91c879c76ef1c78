"""Metrics of snapshots and hibernation.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from caxton.api.families import histogram


def snapshot_metrics(prefix: str, figures: dict[str, Any]) -> Iterator[Metric]:
    """`figures` as the router's `SnapshotMeters` gives them."""
    yield CounterMetricFamily(f"{prefix}_snapshots", "Snapshots committed with executions", value=figures["taken"])
    yield CounterMetricFamily(f"{prefix}_snapshot_bytes", "Bytes of memory in them", value=figures["bytes"])
    yield GaugeMetricFamily(
        f"{prefix}_hibernated_agents", "Agents that only their snapshot holds", figures["hibernated"]
    )
    yield histogram(f"{prefix}_agent_wake_seconds", "Time to make an instance from its snapshot", figures["wakes"])
