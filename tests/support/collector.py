"""A collector of traces: a process that takes OTLP over HTTP, decodes its protobuf and writes down each span.

`python -m support.collector FILE` prints its port; what it answers, and how late, stands in FILE.answer. With
`--count` it writes down how many spans each request had, and nothing of them.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from support.served_node import until

Span = dict[str, Any]


class Collector:
    """The running process. `endpoint` is what a node is told."""

    def __init__(self, file: Path, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._file = file
        self._process = process
        self.answer(200)
        self.endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}/v1/traces"

    def answer(self, status: int, delay: float = 0.0) -> None:
        """From now on, after `delay` seconds."""
        self._file.with_suffix(".answer").write_text(f"{status} {delay}")

    def kill(self) -> None:
        """Nothing listens there any more."""
        self._process.kill()
        self._process.wait()

    def spans(self) -> list[Span]:
        """All that have come."""
        text = self._file.read_text() if self._file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def count(self) -> int:
        """How many have come to a collector that keeps none."""
        return sum(int(line) for line in self._file.read_text().split()) if self._file.exists() else 0

    def trace(self, trace_id: str, *names: str) -> list[Span]:
        """The spans of one trace, once all with these names have come."""

        def complete() -> list[Span] | None:
            found = [one for one in self.spans() if one["trace_id"] == trace_id]
            missing = list(names)
            for one in found:
                if one["name"] in missing:
                    missing.remove(one["name"])
            return None if missing else found

        try:
            found: list[Span] = until(complete, f"spans {names} of {trace_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {[one['name'] for one in self.spans()]}") from None
        return found


@contextmanager
def running_collector(directory: Path, *, keeps: bool = True) -> Iterator[Collector]:
    """A collector that takes everything, until it is told otherwise."""
    file = directory / "spans.jsonl"
    command = [sys.executable, "-m", "support.collector", str(file), *([] if keeps else ["--count"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            yield Collector(file, process)
        finally:
            process.kill()


def main() -> None:
    """Until it is killed."""
    file, keeps = Path(sys.argv[1]), "--count" not in sys.argv

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.headers["content-type"] == "application/x-protobuf"
            asked = ExportTraceServiceRequest.FromString(body)
            lines = [json.dumps(one) + "\n" for one in _decoded(asked)] if keeps else [f"{_count(asked)}\n"]
            status, delay = file.with_suffix(".answer").read_text().split()
            time.sleep(float(delay))
            with file.open("a") as out:
                out.write("".join(lines))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(int(status))
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def _count(request: ExportTraceServiceRequest) -> int:
    return sum(len(of_scope.spans) for one in request.resource_spans for of_scope in one.scope_spans)


def _decoded(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield {
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "said": span.status.message,
                    "attributes": _attributes(span.attributes),
                    "events": [event.name for event in span.events],
                    "resource": resource,
                }


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


if __name__ == "__main__":
    main()
