"""A collector at the wire: takes OTLP over HTTP as protobuf and keeps what it was sent."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass
class OtlpCollector:
    """What arrived: spans and measures as protobuf messages, headers, raw bodies."""

    url: str = ""
    status: int = 200
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    bodies: list[bytes] = field(default_factory=list[bytes])
    spans: list[Any] = field(default_factory=list[Any])
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    services: set[str] = field(default_factory=set[str])

    def span(self, name: str) -> Any:
        """Return the only span of a name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.headers.append(headers)
        self.bodies.append(body)

        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)

            for resource in traces.resource_spans:
                self._name(resource)

                for scope in resource.scope_spans:
                    self.spans += scope.spans
        elif path == "/v1/metrics":
            measures = ExportMetricsServiceRequest.FromString(body)

            for resource in measures.resource_metrics:
                self._name(resource)

                for scope in resource.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}

    def _name(self, resource: Any) -> None:
        for attribute in resource.resource.attributes:
            if attribute.key == "service.name":
                self.services.add(attribute.value.string_value)


def attributes_of(span: Any) -> dict[str, Any]:
    """Return a span's (or a point's) attributes as plain values."""
    found: dict[str, Any] = {}

    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        found[attribute.key] = (
            [entry.string_value for entry in value.values] if kind == "array_value" else value
        )

    return found


@contextmanager
def running_collector() -> Generator[OtlpCollector]:
    """Run a collector on a free port of this machine."""
    collector = OtlpCollector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))

            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)

            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.take(self.path, headers, body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"

    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
