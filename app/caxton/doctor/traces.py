"""Whether the collector of traces takes spans, and whether all reached it.

Owns these findings. Must never send a span, nor show the endpoint's whole address: it may hold a credential.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from caxton.doctor.model import Check, Patient, Status

NAME: Final = "traces"
SPANS: Final = "spans"
_FORM: Final = {"Content-Type": "application/x-protobuf", "User-Agent": "caxton-doctor"}
_ASKS_WHO: Final = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
_HINT: Final = "[observability] otlp_endpoint; curl -v it from this host; app/docs/traces.md"


def examine(patient: Patient) -> Iterator[Check]:
    """Nothing to look at where tracing is off."""
    settings = patient.config.observability
    if not settings.enable_tracing or settings.otlp_endpoint is None:
        yield Check(NAME, Status.OK, "tracing is off")
        return
    yield _collector(settings.otlp_endpoint, settings.otlp_timeout)
    counts = patient.stats.get("spans") if isinstance(patient.stats, dict) else None
    if counts is not None:
        yield _spans(counts)


def _collector(endpoint: str, seconds: float) -> Check:
    """Sends it a request with no spans in it, which is valid; an exporter with credentials of its own is not us."""
    parts = urlsplit(endpoint)
    where, begun = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}", time.monotonic()
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        try:
            connection.request("POST", f"{parts.path or '/'}?{parts.query}".rstrip("?"), b"", _FORM)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return Check(NAME, Status.WARN, f"{where} does not answer: {error}: spans are lost", _HINT)
    took = (time.monotonic() - begun) * 1000
    if status in _ASKS_WHO:
        return Check(
            NAME, Status.OK, f"{where} answers in {took:.0f} ms and asks who it is: that is the exporter's part"
        )
    if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
        return Check(NAME, Status.WARN, f"{where} answers {status} in {took:.0f} ms: spans are lost", _HINT)
    return Check(NAME, Status.OK, f"{where} takes spans, in {took:.0f} ms")


def _spans(counts: dict[str, int]) -> Check:
    failed, dropped = counts.get("failed", 0), counts.get("dropped", 0)
    if failed or dropped:
        found = f"{failed} were not taken, for {dropped} there was no room, {counts.get('exported', 0)} arrived"
        hint = "a lower [observability] trace_sample_rate, or a faster collector" if dropped else _HINT
        return Check(SPANS, Status.WARN, f"since the router started {found}", hint)
    return Check(SPANS, Status.OK, f"{counts.get('exported', 0)} arrived, none was lost")
