"""Our spans as OpenTelemetry's, and their way to a collector: OTLP over HTTP.

Owns the translation and the exporter's settings. Must never keep a span.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from caxton import __version__
from caxton.protocol.spans import Export, Kind, Span

_KINDS: Final = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_SCOPE: Final = InstrumentationScope("caxton", __version__)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Collector:
    """The collector of a node. Headers, certificates and compression are read from `OTEL_EXPORTER_OTLP_*`."""

    def __init__(self, settings: Export) -> None:
        self._node = settings.node
        self._exporter = OTLPSpanExporter(settings.endpoint, timeout=settings.timeout)
        # What goes wrong is said by whoever calls, at a bounded rate, and not by each part of the SDK for itself.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def take(self, spans: list[tuple[str, Span]]) -> bool:
        """Whether the collector has them all now; before each: its service. Takes about `timeout`; never raises."""
        try:
            found = self._exporter.export([self._span(span, service) for service, span in spans])
            return found is SpanExportResult.SUCCESS
        except Exception:  # a library's, of whatever a stranger's server can cause: the spans are counted as failed
            return False

    def _span(self, span: Span, service: str) -> ReadableSpan:
        parent = None if span.parent_id is None else _context(span.trace_id, span.parent_id)
        return ReadableSpan(
            span.name,
            _context(span.trace_id, span.span_id),
            parent,
            _resource(self._node, service),
            span.attributes,
            [Event(event.name, event.attributes, event.at) for event in span.events],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=_SCOPE,
        )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


@lru_cache(maxsize=8)
def _resource(node: str, service: str) -> Resource:
    """With what `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say of it."""
    own = {"service.name": "caxton", "service.version": __version__, "service.instance.id": f"{node}/{service}"}
    return Resource.create({**own, "host.name": node, "caxton.process": service})
