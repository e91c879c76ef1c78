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
from caxton.protocol.backup_status import STATUS_FILE, Status
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
    registry.register(_BackupCollector(Path(gateway.config.backup.directory), prefix))
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


class _BackupCollector:
    """What the backup commands wrote down; 0 for what never happened, so that an alert on age needs no other rule."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self._file = directory / STATUS_FILE
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        status = self._read()
        state, drill = status.state, status.drill_succeeded
        figures = {
            "backup_last_verified_timestamp_seconds": (
                "When the newest backup of the state that verified was taken",
                status.verified_taken_at or 0.0,
            ),
            "backup_last_duration_seconds": (
                "How long the last backup of the state took",
                state.seconds if state else 0,
            ),
            "backup_last_size_bytes": ("Its size, compressed", state.size_bytes if state else 0),
            "restore_drill_seconds": (
                "How long the last restore drill that succeeded took",
                drill.seconds if drill else 0,
            ),
            "restore_drill_last_success_timestamp_seconds": ("When it began", drill.at if drill else 0.0),
        }
        for name, (help_text, value) in figures.items():
            yield GaugeMetricFamily(f"{self._prefix}_{name}", help_text, value=value)

    def _read(self) -> Status:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Status)
        except (OSError, msgspec.DecodeError):
            return Status()


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
