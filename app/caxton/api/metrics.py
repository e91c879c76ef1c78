"""/metrics for Prometheus: which collectors answer a scrape.

Owns the route and the list of collectors; each has its metrics in a module of its own. Must never keep a number
between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics

from caxton.api import traffic
from caxton.api.backup_metrics import BackupCollector
from caxton.api.certificate_metrics import CertificateCollector
from caxton.api.gateway import EXTENSION, Gateway
from caxton.api.node_metrics import NodeCollector


def install(app: Flask) -> None:
    """Adds /metrics to the admin application."""
    gateway: Gateway = app.extensions[EXTENSION]
    prefix = gateway.config.observability.metrics_prefix
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(gateway, prefix))
    registry.register(_TrafficCollector(traffic.folder(gateway.config)))
    registry.register(CertificateCollector(gateway.config.networking, prefix))
    registry.register(BackupCollector(Path(gateway.config.backup.directory), prefix))
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
