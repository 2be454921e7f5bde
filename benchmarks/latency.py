"""How much later the first chunk of a stream comes than from the upstream itself."""

from __future__ import annotations

import socket
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.client import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.load import Request

_END = b"\r\n0\r\n\r\n"
_WARM_UP = 40
ASKED = 440
"""How often each is asked, the warm-up included."""


def added_ms(
    direct: tuple[int, Request], subjects: Mapping[str, tuple[int, Request]]
) -> dict[str, float]:
    """Return the added milliseconds by name, medians, each asked in turn by one client.

    `direct` and the values of `subjects` are a port and the request to send there.
    """
    asked = {"": direct, **subjects}
    lines = {
        name: socket.create_connection(("127.0.0.1", port), timeout=10)
        for name, (port, _) in asked.items()
    }
    took: dict[str, list[float]] = {name: [] for name in asked}

    try:
        for line in lines.values():
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        for number in range(ASKED):
            for name, (_, request) in asked.items():
                seconds = _first_chunk(lines[name], encoded(request))

                # The first ones warm up.
                if number >= _WARM_UP:
                    took[name].append(seconds)
    finally:
        for line in lines.values():
            line.close()

    base = statistics.median(took[""])
    return {name: (statistics.median(took[name]) - base) * 1000 for name in subjects}


def _first_chunk(line: socket.socket, data: bytes) -> float:
    started = time.perf_counter()
    line.sendall(data)
    came = b""
    seconds = 0.0

    while not came.endswith(_END):
        piece = line.recv(65_536)

        if not piece:
            raise RuntimeError(f"The connection was closed in an answer: {came[:200]!r}")

        came += piece

        if not seconds and b"data:" in came:
            seconds = time.perf_counter() - started

    if not came.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"No stream: {came[:300]!r}")

    return seconds
