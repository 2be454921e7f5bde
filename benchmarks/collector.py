"""A collector of OTLP over HTTP that counts the spans it is sent. Not measured itself.

`GET /` answers how many there were.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class _Handler(BaseHTTPRequestHandler):
    spans: ClassVar[int] = 0
    """Sent so far, to all of them."""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(str(self.spans).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))

        if self.path == "/v1/traces":
            said = ExportTraceServiceRequest.FromString(body)
            scopes = [scope for resource in said.resource_spans for scope in resource.scope_spans]
            type(self).spans += sum(len(scope.spans) for scope in scopes)

        self._answer(b"")

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
