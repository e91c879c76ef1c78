"""How many requests the public API answers, and how fast: counted by each worker, summed over all at a scrape.

Owns the histogram of requests, and the count of those that were limited. Must never grow with what clients send:
routes and statuses are labels, paths are not. Each process counts in a file of its own (prometheus_client's
multiprocess mode), which `share` has to be told before prometheus_client is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from caxton.api.limits import REASONS
from caxton.config import Config

UNKNOWN: Final = "unknown"
_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_FOLDER: Final = "api-metrics"
Observe = Callable[[str, str, str, float], None]
"""Takes method, route, status line and seconds."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def folder(config: Config) -> Path:
    """Where the workers of the public API count."""
    return config.paths.run / _FOLDER


def share(config: Config) -> None:
    """Has this process and those it forks count in files; those of an earlier run are removed."""
    if not config.observability.enable_metrics:
        return
    place = folder(config)
    place.mkdir(mode=0o750, parents=True, exist_ok=True)
    for file in place.glob("*.db"):
        file.unlink(missing_ok=True)
    os.environ[_VARIABLE] = str(place)


def limiter(config: Config) -> Callable[[str], None]:
    """What counts a request, or a connection, that met its limit, by the reason. As `observer`."""
    from prometheus_client import CollectorRegistry, Counter  # as in `observer`

    counter = Counter(
        f"{config.observability.metrics_prefix}_http_limited",
        "Requests and connections that met a limit of who asks",
        ("reason",),
        registry=CollectorRegistry(),
    )
    counts = {reason: counter.labels(reason).inc for reason in REASONS}

    def count(reason: str) -> None:
        counts[reason]()

    return count


def observer(config: Config) -> Observe:
    """What counts a request. Without `share` it counts in this process only."""
    from prometheus_client import CollectorRegistry, Histogram  # the files have to be named before the import

    histogram = Histogram(
        f"{config.observability.metrics_prefix}_http_request_duration_seconds",
        "Time from a request's head to its answer",
        ("method", "route", "status"),
        buckets=config.observability.histogram_buckets,
        registry=CollectorRegistry(),
    )
    known: dict[tuple[str, str, str], Callable[[float], None]] = {}

    def observe(method: str, route: str, status: str, seconds: float) -> None:
        key = (method, route, status)
        found = known.get(key)
        if found is None:
            child = histogram.labels(method if method in METHODS else UNKNOWN, route, status[:3])
            found = child.observe
            if method in METHODS:
                known[key] = found
        found(seconds)

    return observe
