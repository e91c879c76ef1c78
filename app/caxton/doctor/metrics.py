"""Whether Prometheus gets an answer from the metrics address.

Owns one finding. Must never judge a figure: rules and other checks do.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from typing import Final

from caxton.config import reachable, split_address
from caxton.doctor.model import Check, Patient, Status

NAME: Final = "metrics"
SLOW_SECONDS: Final = 5.0
"""What the node itself gives its router for a scrape; beyond it the figures are missing."""
_SECONDS: Final = 15.0
_HINT: Final = "systemctl status caxton-admin; journalctl -u caxton-admin"


def examine(patient: Patient) -> Iterator[Check]:
    """One scrape, as Prometheus makes it."""
    if not patient.config.observability.enable_metrics:
        yield Check(NAME, Status.OK, "metrics are off")
        return
    address = patient.config.networking.metrics_address
    begun = time.monotonic()
    try:
        status, text = _scrape(address)
    except (OSError, http.client.HTTPException) as error:
        yield Check(NAME, Status.FAIL, f"http://{address}/metrics: {error}", _HINT)
        return
    took = time.monotonic() - begun
    prefix = patient.config.observability.metrics_prefix
    if status != http.client.OK or f"\n{prefix}_router_up ".encode() not in text:
        yield Check(NAME, Status.FAIL, f"http://{address}/metrics answers {status}, and is not this node's", _HINT)
    elif took > SLOW_SECONDS:
        yield Check(NAME, Status.WARN, f"a scrape took {took:.1f} s", "caxton top; journalctl -u caxton-router")
    else:
        yield Check(NAME, Status.OK, f"a scrape of {len(text)} bytes took {took * 1000:.0f} ms")


def _scrape(address: str) -> tuple[int, bytes]:
    host, port = split_address(reachable(address))
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
