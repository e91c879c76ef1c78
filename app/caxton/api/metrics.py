"""/metrics for Prometheus: the node's gauges, asked of the router at each scrape, and the API's requests.

Owns the names of metrics. Must never keep a number between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics

from caxton.api import traffic
from caxton.api.gateway import EXTENSION, Gateway
from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import Nothing

SCRAPE_SECONDS = 5.0


def install(app: Flask) -> None:
    """Adds /metrics to the admin application."""
    gateway: Gateway = app.extensions[EXTENSION]
    prefix = gateway.config.observability.metrics_prefix
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_NodeCollector(gateway, prefix))
    registry.register(_TrafficCollector(traffic.folder(gateway.config)))
    PrometheusMetrics(
        app,
        path="/metrics",
        registry=registry,
        defaults_prefix=f"{prefix}_admin",
        buckets=gateway.config.observability.histogram_buckets,
    )


class _TrafficCollector:
    """The public API's requests, summed over its workers, those that have ended included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        if self._folder.is_dir():
            yield from MultiProcessCollector(None, path=str(self._folder)).collect()


class _NodeCollector:
    """Turns the router's numbers into gauges; `up` is 0 while the router is away."""

    def __init__(self, gateway: Gateway, prefix: str) -> None:
        self._gateway = gateway
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        try:
            text = self._gateway.router.call("stats", Nothing(), timeout=SCRAPE_SECONDS)
            stats: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except CaxtonError:
            stats = {}
        yield GaugeMetricFamily(f"{self._prefix}_router_up", "The router answers", value=1.0 if stats else 0.0)
        for name, value in sorted(flatten(stats)):
            yield GaugeMetricFamily(f"{self._prefix}_{name}", name.replace("_", " "), value=value)
        yield self._of_agents(stats.get("agents_ledger", []))

    def _of_agents(self, rows: list[dict[str, Any]]) -> Metric:
        family = GaugeMetricFamily(
            f"{self._prefix}_agent_messages", "Messages of an agent by what became of them", labels=["agent", "state"]
        )
        for row in rows:
            for state, count in row.items():
                if state != "name":
                    family.add_metric([row["name"], state], count)
        return family


def flatten(stats: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested objects by their path joined with `_`; anything else is left out."""
    for key, value in stats.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flatten(value, f"{name}_")
        elif isinstance(value, (bool, int, float)):
            yield name, float(value)
