"""How numbers become metrics of Prometheus.

Owns these few shapes. Must never know what a number means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric


def gauges(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, words, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], float(value))
    return family


def counters(name: str, words: str, label: str, counts: Mapping[str, float]) -> Metric:
    """A counter with one label; `_total` is added to `name`."""
    family = CounterMetricFamily(name, words, labels=[label])
    for key, count in sorted(counts.items()):
        family.add_metric([key], count)
    return family


def histogram(name: str, words: str, figures: Mapping[str, Any]) -> Metric:
    """`figures` as the router's `Histogram` gives them."""
    return HistogramMetricFamily(name, words, buckets=figures["buckets"], sum_value=figures["seconds"])
