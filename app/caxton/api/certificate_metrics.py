"""The metric of the API's certificate, from its file.

Owns the name of this metric. Must never read the key.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from caxton.config import Networking, read_certificate


class CertificateCollector:
    """When the certificate ends; no sample where TLS is off, and 0 where the file holds none."""

    def __init__(self, net: Networking, prefix: str) -> None:
        self._path = net.tls_cert_path if net.tls_enabled else None
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        name = f"{self._prefix}_tls_certificate_expiry_timestamp_seconds"
        family = GaugeMetricFamily(name, "When the API's certificate ends", labels=())
        if self._path is not None:
            family.add_metric((), _not_after(self._path))
        yield family


def _not_after(path: str) -> float:
    try:
        return read_certificate(path).not_after
    except (OSError, ValueError):
        return 0.0
