"""A small HTTP relay between the suite and whom it tests, for what neither of them can say."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    Change = Callable[[bytes, bytes], bytes]

HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


@contextlib.contextmanager
def between(
    url: str, *, headers: Mapping[str, str] | None = None, change: Change | None = None
) -> Generator[str]:
    """Relay to an address; give the address to use in its place.

    `headers` are added to each request; `change` makes of a request's body and of its answer's,
    where that is no stream, what is answered.
    """
    place = urlsplit(url)

    class Relay(BaseHTTPRequestHandler):
        def relay(self) -> None:
            """Carry one request there, and what answers it back, as it comes."""
            sent = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            there = http.client.HTTPConnection(place.hostname or "", place.port)

            with contextlib.closing(there), contextlib.suppress(OSError):
                there.request(self.command, place.path, body or None, {**sent, **(headers or {})})
                answer = there.getresponse()
                self.send_response(answer.status)

                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)

                # It ends with the connection, however long it is.
                self.send_header("connection", "close")
                self.end_headers()

                if change is not None and "json" in answer.headers.get("content-type", ""):
                    self.wfile.write(change(body, answer.read()))

                while chunk := answer.read1():
                    self.wfile.write(chunk)

        do_GET = do_POST = do_DELETE = relay  # noqa: N815 - how http.server finds them

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    try:
        yield f"http://localhost:{server.server_port}{place.path}"
    finally:
        server.shutdown()
        server.server_close()
