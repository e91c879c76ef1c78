"""The node's metrics: the router's numbers, asked at each scrape, as gauges, counters and a histogram.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from caxton import __version__
from caxton.api.cluster_metrics import cluster_metrics
from caxton.api.gateway import Gateway
from caxton.api.namespace_metrics import namespace_metrics
from caxton.api.snapshot_metrics import snapshot_metrics
from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Nothing

SCRAPE_SECONDS: Final = 5.0
ROUTER: Final = "router"
"""The reason for not being ready while the router is away."""


class NodeCollector:
    """Turns the router's numbers into metrics; `router_up` is 0 while the router is away."""

    def __init__(self, gateway: Gateway, prefix: str) -> None:
        self._gateway = gateway
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        stats, reasons = self._ask()
        up = ROUTER not in reasons
        meters, cluster = stats.pop("meters", None), stats.pop("cluster", None)
        spans = stats.pop("spans", None)
        yield self._gauge("router_up", "The router answers", up)
        yield self._gauge("ready", "The node takes work: /ready answers 200", not reasons)
        yield self._labelled("not_ready", "Why the node takes no work", "reason", dict.fromkeys(reasons, 1))
        yield self._build_info(stats.get("versions", {}))
        for name, value in sorted(flatten(stats)):
            yield self._gauge(name, name.replace("_", " "), value)
        yield self._of_agents(stats.get("agents_ledger", []))
        yield from namespace_metrics(self._prefix, stats.get("namespaces", []))
        if cluster is not None:
            yield from cluster_metrics(self._prefix, cluster)
        if spans is not None:
            yield self._counted("trace_spans", "Spans by what became of them", "outcome", spans)
        if meters is not None:
            yield from self._metered(meters)

    def _ask(self) -> tuple[dict[str, Any], list[str]]:
        """The router's numbers, and why the node is not ready."""
        try:
            text = self._gateway.router.call("stats", Nothing(), timeout=SCRAPE_SECONDS)
            stats: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except CaxtonError as error:
            return {}, error.details.get("reasons") or [ROUTER]
        return stats, stats["ready"]["reasons"]

    def _metered(self, meters: dict[str, Any]) -> Iterator[Metric]:
        yield self._counted("executions", "Executions by how they ended", "status", meters["executions"])
        yield self._counted("execution_failures", "Failed executions by error code", "code", meters["failures"])
        duration = meters["duration"]
        yield HistogramMetricFamily(
            f"{self._prefix}_execution_duration_seconds",
            "Wall time of executions",
            buckets=duration["buckets"],
            sum_value=duration["seconds"],
        )
        yield self._counter("execution_cpu_seconds", "CPU time of executions", meters["cpu_seconds"])
        yield self._counted("worker_ends", "Ended workers by reason", "reason", meters["worker_ends"])
        yield from snapshot_metrics(self._prefix, meters["snapshots"])
        yield self._counted("modules_prepared", "Modules made ready, by source", "source", meters["prepared"])
        yield self._counted("rollouts", "Rollouts by how they ended", "outcome", meters["rollouts"])
        egress = meters["egress"]
        yield self._counted("egress_requests", "Outbound HTTP requests by outcome", "outcome", egress["requests"])
        yield self._counted("egress_bytes", "Bytes of bodies sent and received", "direction", egress["bytes"])
        yield self._counter("egress_seconds", "Time that outbound requests took", egress["seconds"])
        yield self._counted("quarantines", "Steps of quarantines", "step", meters["quarantines"])
        yield self._counted("schedule_messages", "Due times of schedules", "outcome", meters["schedules"])
        violations, expired = meters["protocol_violations"], meters["conversations_expired"]
        yield self._counter("protocol_violations", "Messages that their conversation's protocol refused", violations)
        yield self._counter("conversations_expired", "Conversations that ended at a deadline", expired)
        yield from self._of_recordings(meters.get("recordings"))
        audit = meters["audit"]
        yield self._counter("audit_records", "Records written to the audit", audit["records"])
        yield self._counter("audit_write_errors", "Writes of the audit that failed", audit["write_errors"])
        yield self._counter("store_commits", "Transactions of the store", meters["commits"]["count"])
        yield self._counter("store_commit_seconds", "Time spent in transactions", meters["commits"]["seconds"])

    def _of_recordings(self, meters: dict[str, int] | None) -> Iterator[Metric]:
        if meters is not None:  # a router of the release before has none
            outcomes: dict[str, float] = {name: meters[name] for name in ("kept", "dropped")}
            yield self._counted("recorded_executions", "Recordings of executions", "outcome", outcomes)
            yield self._counter("recorded_bytes", "Bytes of recordings that were kept", meters["bytes"])

    def _build_info(self, versions: dict[str, str | None]) -> Metric:
        family = GaugeMetricFamily(
            f"{self._prefix}_build_info", "Version of what runs", labels=["component", "version"]
        )
        for component, version in sorted({**versions, "api": __version__}.items()):
            if version:
                family.add_metric([component, version], 1)
        return family

    def _of_agents(self, rows: list[dict[str, Any]]) -> Metric:
        family = GaugeMetricFamily(
            f"{self._prefix}_agent_messages", "Messages of an agent by what became of them", labels=["agent", "state"]
        )
        for row in rows:
            for state, count in row.items():
                if state != "name":
                    family.add_metric([row["name"], state], count)
        return family

    def _gauge(self, name: str, words: str, value: float) -> Metric:
        return GaugeMetricFamily(f"{self._prefix}_{name}", words, value=float(value))

    def _counter(self, name: str, words: str, value: float) -> Metric:
        return CounterMetricFamily(f"{self._prefix}_{name}", words, value=value)

    def _labelled(self, name: str, words: str, label: str, values: dict[str, float]) -> Metric:
        family = GaugeMetricFamily(f"{self._prefix}_{name}", words, labels=[label])
        for key, value in sorted(values.items()):
            family.add_metric([key], value)
        return family

    def _counted(self, name: str, words: str, label: str, counts: dict[str, float]) -> Metric:
        family = CounterMetricFamily(f"{self._prefix}_{name}", words, labels=[label])
        for key, count in sorted(counts.items()):
            family.add_metric([key], count)
        return family


def flatten(stats: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested objects by their path joined with `_`; anything else is left out."""
    for key, value in stats.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flatten(value, f"{name}_")
        elif isinstance(value, (bool, int, float)):
            yield name, float(value)
