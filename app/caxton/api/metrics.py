"""/metrics for Prometheus: which collectors answer a scrape, and how the requests of its own server are counted.

Owns the route and the list of collectors; each has its metrics in a module of its own. Must never keep a number
between scrapes but those of the admin server's requests, nor let these grow with what clients send.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Request, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics

from caxton.api import traffic
from caxton.api.backup_metrics import BackupCollector
from caxton.api.certificate_metrics import CertificateCollector
from caxton.api.front import ENVIRON_ROUTE
from caxton.api.gateway import EXTENSION, Gateway
from caxton.api.node_metrics import NodeCollector
from caxton.api.traffic import METHODS, UNKNOWN


def install(app: Flask) -> None:
    """Adds /metrics to the admin application, whose requests have their route's name before they come here."""
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
        group_by=route,
        registry=registry,
        defaults_prefix=f"{prefix}_admin",
        buckets=gateway.config.observability.histogram_buckets,
    )
    app.before_request(_bound_method)


def route(asked: Request) -> str:
    """The label of a request; the exporter names the label by this function."""
    return str(asked.environ.get(ENVIRON_ROUTE, UNKNOWN))


def _bound_method() -> None:
    """The exporter's other label: whoever reaches the metrics address may write any method, and each is a series."""
    if request.method not in METHODS:
        request.method = UNKNOWN


class _TrafficCollector:
    """The public API's requests, summed over its workers, those that have ended included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        if self._folder.is_dir():
            yield from MultiProcessCollector(None, path=str(self._folder)).collect()
