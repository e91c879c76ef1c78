"""Metrics of namespaces with quotas, one series for each resource: no more than may have quotas.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_LABELS: Final = ["namespace", "resource"]


def namespace_metrics(prefix: str, rows: list[dict[str, Any]]) -> Iterator[Metric]:
    """`rows`: `NamespaceView` as plain data."""
    quota = GaugeMetricFamily(f"{prefix}_namespace_quota", "What a namespace may use", labels=_LABELS)
    used = GaugeMetricFamily(f"{prefix}_namespace_used", "What a namespace has now", labels=_LABELS)
    held = GaugeMetricFamily(f"{prefix}_namespace_held", "It starts nothing now", labels=["namespace"])
    messages = CounterMetricFamily(f"{prefix}_namespace_messages", "Messages on its account", labels=["namespace"])
    cpu = CounterMetricFamily(f"{prefix}_namespace_cpu_seconds", "CPU time of its agents", labels=["namespace"])
    refused = CounterMetricFamily(f"{prefix}_namespace_refused", "Refused for a quota", labels=_LABELS)
    for row in rows:
        name, usage = row["name"], row["usage"]
        for resource, limit in row["quota"].items():
            quota.add_metric([name, resource], limit)
        for resource in ("agents", "stored_bytes"):
            used.add_metric([name, resource], usage[resource])
        for resource, count in usage["refused"].items():
            refused.add_metric([name, resource], count)
        held.add_metric([name], usage["held"])
        messages.add_metric([name], usage["messages"])
        cpu.add_metric([name], usage["cpu_seconds"])
    yield from (quota, used, held, messages, cpu, refused)
