"""Metrics by agent: of the busiest by name, of the others together.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes, nor show more agents than
the router names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_COUNTERS: Final = {
    "execution_seconds": ("seconds", "Wall time of an agent's executions"),
    "cpu_seconds": ("cpu_seconds", "CPU time of an agent's executions"),
    "fuel": ("fuel", "Fuel that an agent's executions used; counted in the deterministic profile only"),
}


def agent_metrics(prefix: str, rows: list[dict[str, Any]]) -> Iterator[Metric]:
    """`rows` as the router's `AgentMeters` gives them."""
    executions = CounterMetricFamily(
        f"{prefix}_agent_executions", "Executions of an agent by how they ended", labels=["agent", "status"]
    )
    memory = GaugeMetricFamily(
        f"{prefix}_agent_memory_bytes", "Memory of an agent's last execution at its peak", labels=["agent"]
    )
    for row in rows:
        for status, count in sorted(row["executions"].items()):
            executions.add_metric([row["agent"], status], count)
        if "memory_bytes" in row:
            memory.add_metric([row["agent"]], row["memory_bytes"])
    yield from (executions, memory)
    for name, (key, words) in _COUNTERS.items():
        family = CounterMetricFamily(f"{prefix}_agent_{name}", words, labels=["agent"])
        for row in rows:
            family.add_metric([row["agent"]], row[key])
        yield family


def agent_messages(prefix: str, rows: list[dict[str, Any]]) -> Metric:
    """`rows`: lines of the ledger."""
    family = GaugeMetricFamily(
        f"{prefix}_agent_messages", "Messages of an agent by what became of them", labels=["agent", "state"]
    )
    for row in rows:
        for state, count in row.items():
            if state != "name":
                family.add_metric([row["name"], state], count)
    return family
