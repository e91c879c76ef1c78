"""Our spans as OTLP's protobuf messages, and their way to a collector: OTLP over HTTP by OpenTelemetry's SDK.

Owns the translation and the exporter's settings. Must never keep a span, nor log how the collector is asked: its
address and its headers may hold a credential.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.re import parse_env_headers

from caxton import __version__
from caxton.protocol.spans import Kind, Span
from caxton.telemetry.spans import Export

_SCOPE: Final = "caxton"
_ERROR: Final = trace_pb2.Status.STATUS_CODE_ERROR
_KINDS: Final = {
    Kind.INTERNAL: trace_pb2.Span.SPAN_KIND_INTERNAL,
    Kind.SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    Kind.CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
    Kind.PRODUCER: trace_pb2.Span.SPAN_KIND_PRODUCER,
    Kind.CONSUMER: trace_pb2.Span.SPAN_KIND_CONSUMER,
}
_REDIRECTIONS: Final = 300
_LIBRARIES: Final = ("opentelemetry", "urllib3", "requests")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
"""The SDK reads the first that is set."""
log = logging.getLogger(__name__)


class Collector:
    """The collector of a node. Headers, certificates and compression are read from `OTEL_EXPORTER_OTLP_*`."""

    def __init__(self, told: Export) -> None:
        # Before anything of theirs runs: they write headers and addresses as they are. What goes wrong is said by
        # whoever calls, at a bounded rate.
        for library in _LIBRARIES:
            logging.getLogger(library).setLevel(logging.CRITICAL)
        _examine_headers()
        self._node = told.node
        self._exporter = OTLPSpanExporter(told.endpoint, timeout=told.settings.otlp_timeout)

    def take(self, spans: list[tuple[str, Span]]) -> bool:
        """Whether the collector has all now; before each: its service. Lasts `otlp_timeout` at most, never raises."""
        try:
            request = encoded(self._node, spans)
            # The exporter's own way to it: its `export` wants the SDK's spans and takes 39 us to encode one, these
            # messages take 7. On two cores that serve, the difference is 4 % of the requests (tests/bench/traces.py).
            answer = self._exporter._client.export(request)
            # It calls a redirection a success, and follows none: nobody has the spans then.
            return answer.success and answer.status_code is not None and answer.status_code < _REDIRECTIONS
        except Exception:  # a library's, of whatever a stranger's server can cause: the spans are counted as failed
            return False


def _examine_headers() -> None:
    """Says that a header is left out, as the SDK would, but not which: what is written wrong may be a credential."""
    name = next((one for one in _HEADERS if os.environ.get(one)), None)
    if name is None:
        return
    for header in filter(str.strip, os.environ[name].split(",")):
        if not parse_env_headers(header, liberal=True):
            log.warning("a header in %s is not NAME=VALUE and is left out", name)


def encoded(node: str, spans: list[tuple[str, Span]]) -> bytes:
    """An `ExportTraceServiceRequest`; before each span: its service, of which each has a resource."""
    request = ExportTraceServiceRequest()
    of_service: dict[str, trace_pb2.ScopeSpans] = {}
    for service, span in spans:
        found = of_service.get(service)
        if found is None:
            found = of_service[service] = _scope_spans(request, node, service)
        _fill(found.spans.add(), span)
    serialized: bytes = request.SerializeToString()
    return serialized


def _scope_spans(request: ExportTraceServiceRequest, node: str, service: str) -> trace_pb2.ScopeSpans:
    of_resource = request.resource_spans.add()
    for key, value in _resource(node, service).attributes.items():
        _set(of_resource.resource.attributes.add(key=key).value, value)
    found: trace_pb2.ScopeSpans = of_resource.scope_spans.add()
    found.scope.name, found.scope.version = _SCOPE, __version__
    return found


def _fill(message: trace_pb2.Span, span: Span) -> None:
    message.trace_id = bytes.fromhex(span.trace_id)
    message.span_id = bytes.fromhex(span.span_id)
    if span.parent_id is not None:
        message.parent_span_id = bytes.fromhex(span.parent_id)
    message.name = span.name
    message.kind = _KINDS[span.kind]
    message.start_time_unix_nano = span.start
    message.end_time_unix_nano = span.end
    for key, value in span.attributes.items():
        _set(message.attributes.add(key=key).value, value)
    if span.error is not None:
        message.status.code, message.status.message = _ERROR, span.error
    for event in span.events:
        told = message.events.add(name=event.name, time_unix_nano=event.at)
        for key, value in event.attributes.items():
            _set(told.attributes.add(key=key).value, value)


def _set(place: AnyValue, value: object) -> None:
    """Of a bool Python says that it is an int, too: it is asked first."""
    if isinstance(value, str):
        place.string_value = value
    elif isinstance(value, bool):
        place.bool_value = value
    elif isinstance(value, int):
        place.int_value = value
    elif isinstance(value, float):
        place.double_value = value
    elif isinstance(value, list | tuple):  # of a resource that others have described
        place.array_value.SetInParent()
        for one in value:
            _set(place.array_value.values.add(), one)
    else:
        raise TypeError(f"no value of an attribute: {type(value).__name__}")


@lru_cache(maxsize=8)
def _resource(node: str, service: str) -> Resource:
    """With what `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say of it."""
    own = {"service.name": "caxton", "service.version": __version__, "service.instance.id": f"{node}/{service}"}
    return Resource.create({**own, "host.name": node, "caxton.process": service})
