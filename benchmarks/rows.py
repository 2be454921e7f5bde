"""The rows of the table: which request, against which subjects, how it is counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.load import Request, send

if TYPE_CHECKING:
    from benchmarks.processes import Running

_MOST_SECONDS = 40.0
"""Of one cell: a slow subject is measured over what it did in that time."""
SLOW = ("litellm", "portkey", "fastmcp proxy")
_SLOW_CONNECTIONS = 16
"""What would take many seconds for all connections at once is measured with few of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of request, with budget and stretch goal for Spindle in milliseconds of CPU."""

    name: str
    budget_ms: float
    stretch_ms: float
    connections: int
    requests: int


@dataclass(slots=True)
class Measured:
    """CPU per request of one subject in one row."""

    subject: str
    requests: int
    failed: int
    cpu_ms: float
    per_second: float
    sent: int
    """Requests answered in all, those of the warm-up too."""
    cut: int
    """At most this many more were begun: each round of wrk cuts what is on its way."""
    growth_mb: float
    """Of memory, from the end of the warm-up on."""


def rows(requests: int) -> tuple[Row, ...]:
    """Return every row; `requests` are those of a cell, a tenth of it for streams."""
    streams = max(200, requests // 10)
    return (
        Row("chat, unary, 1 KB", 0.20, 0.15, 32, requests),
        Row("chat, unary, 100 KB body", 0.35, 0.25, 32, requests // 2),
        Row("chat, paced stream of 100 chunks", 3.5, 3.0, 192, streams),
        Row("chat, the same, translated dialect", 7.0, 5.0, 192, streams),
        Row("tools/call, modern", 0.40, 0.25, 16, requests),
        Row("tools/call, legacy", 0.90, 0.50, 16, requests),
        Row("tools/list, 100 tools", 0.25, 0.10, 16, requests),
    )


def measure(subject: Running, request: Request, row: Row) -> Measured:
    """Warm up, then send at least the row's number of requests and read the tree's CPU."""
    is_slow = subject.name in SLOW
    connections = min(row.connections, _SLOW_CONNECTIONS) if is_slow else row.connections
    warm_up = send(subject.url, request, connections=connections, seconds=3)
    rounds = 1
    cpu, started, memory = subject.cpu_seconds(), time.monotonic(), subject.memory_mb()
    done = failed = 0
    seconds = 3.0

    while done < row.requests and time.monotonic() - started < _MOST_SECONDS:
        sent = send(subject.url, request, connections=connections, seconds=seconds)
        done, failed, rounds = done + sent.requests, failed + sent.failed, rounds + 1
        elapsed = time.monotonic() - started

        if sent.requests == 0:
            raise RuntimeError(f"{subject.name} answers too slowly in {row.name}")

        seconds = min(30.0, max(3.0, (row.requests - done) * elapsed / max(done, 1)))

    used = subject.cpu_seconds() - cpu
    return Measured(
        subject=subject.name,
        requests=done,
        failed=failed + warm_up.failed,
        cpu_ms=used * 1000 / done,
        per_second=done / (time.monotonic() - started),
        sent=done + warm_up.requests,
        cut=rounds * connections,
        growth_mb=subject.memory_mb() - memory,
    )
