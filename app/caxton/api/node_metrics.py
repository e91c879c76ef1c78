"""The node's metrics: the router's numbers, asked at each scrape, as gauges, counters and histograms.

Owns their names (app/docs/metrics.md lists them). Must never keep a number between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from caxton import __version__
from caxton.api.agent_metrics import agent_messages, agent_metrics
from caxton.api.cluster_metrics import cluster_metrics
from caxton.api.families import counters, gauges, histogram
from caxton.api.gateway import Gateway
from caxton.api.gauge_names import gauges_of
from caxton.api.instance_metrics import instance_metrics
from caxton.api.namespace_metrics import namespace_metrics
from caxton.api.snapshot_metrics import snapshot_metrics
from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Nothing

SCRAPE_SECONDS: Final = 5.0
ROUTER: Final = "router"
"""The reason for not being ready while the router is away."""
_LABELLED: Final = {
    "executions": ("executions", "Executions by how they ended", "status"),
    "failures": ("execution_failures", "Failed executions by error code", "code"),
    "worker_ends": ("worker_ends", "Ended workers by reason", "reason"),
    "prepared": ("modules_prepared", "Modules made ready, by source", "source"),
    "refused": ("modules_refused", "Modules that were refused or could not be compiled, by error code", "code"),
    "rollouts": ("rollouts", "Rollouts by how they ended", "outcome"),
    "quarantines": ("quarantines", "Steps of quarantines", "step"),
    "schedules": ("schedule_messages", "Due times of schedules", "outcome"),
}
_PLAIN: Final = {
    "cpu_seconds": ("execution_cpu_seconds", "CPU time of executions"),
    "fuel": ("execution_fuel", "Fuel that executions used; counted in the deterministic profile only"),
    "protocol_violations": ("protocol_violations", "Messages that their conversation's protocol refused"),
    "conversations_expired": ("conversations_expired", "Conversations that ended at a deadline"),
}
_HISTOGRAMS: Final = {
    "duration": ("execution_duration_seconds", "Wall time of executions"),
    "compiled": ("module_compile_seconds", "Time that compiling a module took, waiting for its turn included"),
    "commits": ("store_commit_seconds", "Time that transactions of the store took, their flush included"),
}


class NodeCollector:
    """Turns the router's numbers into metrics; `router_up` is 0 while the router is away."""

    def __init__(self, gateway: Gateway, prefix: str) -> None:
        self._gateway = gateway
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        stats, reasons = self._ask()
        yield GaugeMetricFamily(self._named("router_up"), "The router answers", float(ROUTER not in reasons))
        yield GaugeMetricFamily(self._named("ready"), "The node takes work: /ready answers 200", float(not reasons))
        yield gauges(self._named("not_ready"), "Why the node takes no work", "reason", dict.fromkeys(reasons, 1))
        yield self._build_info(stats.get("versions", {}))
        if not stats:
            return
        yield from gauges_of(self._prefix, stats)
        yield gauges(self._named("agents"), "Agents by status", "status", stats["agents"])
        yield agent_messages(self._prefix, stats["agents_ledger"])
        yield from namespace_metrics(self._prefix, stats["namespaces"])
        if (cluster := stats.get("cluster")) is not None:
            yield from cluster_metrics(self._prefix, cluster)
        yield counters(self._named("trace_spans"), "Spans by what became of them", "outcome", stats["spans"])
        yield from self._metered(stats["meters"])

    def _ask(self) -> tuple[dict[str, Any], list[str]]:
        """The router's numbers, and why the node is not ready."""
        try:
            text = self._gateway.router.call("stats", Nothing(), timeout=SCRAPE_SECONDS)
            stats: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except CaxtonError as error:
            return {}, error.details.get("reasons") or [ROUTER]
        return stats, stats["ready"]["reasons"]

    def _metered(self, meters: dict[str, Any]) -> Iterator[Metric]:
        for key, (name, words, label) in _LABELLED.items():
            yield counters(self._named(name), words, label, meters[key])
        for key, (name, words) in _PLAIN.items():
            yield CounterMetricFamily(self._named(name), words, meters[key])
        for key, (name, words) in _HISTOGRAMS.items():
            yield histogram(self._named(name), words, meters[key])
        yield from agent_metrics(self._prefix, meters["agents"])
        yield from instance_metrics(self._prefix, meters["instances"])
        yield from snapshot_metrics(self._prefix, meters["snapshots"])
        egress, audit, recordings = meters["egress"], meters["audit"], meters["recordings"]
        yield counters(
            self._named("egress_requests"), "Outbound HTTP requests by outcome", "outcome", egress["requests"]
        )
        yield counters(self._named("egress_bytes"), "Bytes of bodies sent and received", "direction", egress["bytes"])
        yield CounterMetricFamily(
            self._named("egress_seconds"), "Time that outbound requests took", egress["seconds"]
        )
        yield CounterMetricFamily(self._named("audit_records"), "Records written to the audit", audit["records"])
        yield CounterMetricFamily(
            self._named("audit_write_errors"), "Writes of the audit that failed", audit["write_errors"]
        )
        yield counters(
            self._named("recordings"),
            "Recordings of executions",
            "outcome",
            recordings["counts"],
        )
        yield CounterMetricFamily(
            self._named("recording_bytes"), "Bytes of recordings that were kept", recordings["bytes"]
        )

    def _build_info(self, versions: dict[str, str | None]) -> Metric:
        family = GaugeMetricFamily(self._named("build_info"), "Version of what runs", labels=["component", "version"])
        for component, version in sorted({**versions, "api": __version__}.items()):
            if version:
                family.add_metric([component, version], 1)
        return family

    def _named(self, name: str) -> str:
        return f"{self._prefix}_{name}"
