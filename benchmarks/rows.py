"""The rows of the table: which request, against which subjects, how it is counted."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.load import Request, send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.processes import Running

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of request and its budget for Spindle, in milliseconds of CPU."""

    name: str
    budget_ms: float
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


@dataclass(slots=True)
class Table:
    """All rows measured so far."""

    cells: dict[str, list[Measured]] = field(default_factory=dict[str, list[Measured]])


def chat(model: str, *, stream: bool, token: str = "") -> Request:
    """A chat request of 1 KB."""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are brief. " * 10},
            {"role": "user", "content": "Tell me of the loom. " * 35},
        ],
        "temperature": 0.5,
    }

    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}

    return Request("/v1/chat/completions", json.dumps(body), _headers(token))


def call_modern(tool: str, path: str, token: str = "") -> Request:
    """A tools/call of protocol 2026-07-28."""
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": {"text": "hello"}, "_meta": _META},
    }
    headers = _headers(token) | {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    return Request(path, json.dumps(body), headers)


def call_legacy(url: str, tool: str, token: str) -> Request:
    """A tools/call inside a session of protocol 2025-11-25, which is opened here."""
    headers = _headers(token) | {"accept": "application/json, text/event-stream"}
    opening = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    }
    session = _post(url, opening, headers)
    headers |= {"mcp-session-id": session, "mcp-protocol-version": LEGACY}
    _post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    body = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": tool, "arguments": {"text": "hello"}},
    }
    return Request("/mcp", json.dumps(body), headers)


def _post(url: str, message: Mapping[str, object], headers: dict[str, str]) -> str:
    request = urllib.request.Request(
        f"{url}/mcp", data=json.dumps(message).encode(), headers=headers, method="POST"
    )

    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
        return str(answer.headers.get("mcp-session-id", ""))


def measure(subject: Running, request: Request, row: Row) -> Measured:
    """Warm up, then send at least the row's number of requests and read the tree's CPU."""
    warm_up = send(subject.url, request, connections=row.connections, seconds=2)
    rounds = 1
    cpu, started = subject.cpu_seconds(), time.monotonic()
    done = failed = 0
    seconds = 3.0

    while done < row.requests:
        sent = send(subject.url, request, connections=row.connections, seconds=seconds)
        done, failed, rounds = done + sent.requests, failed + sent.failed, rounds + 1
        elapsed = time.monotonic() - started

        if sent.requests == 0 or elapsed > 600:
            raise RuntimeError(f"{subject.name} answers too slowly in {row.name}")

        seconds = min(60.0, max(3.0, (row.requests - done) * elapsed / max(done, 1)))

    used = subject.cpu_seconds() - cpu
    return Measured(
        subject=subject.name,
        requests=done,
        failed=failed + warm_up.failed,
        cpu_ms=used * 1000 / done,
        per_second=done / (time.monotonic() - started),
        sent=done + warm_up.requests,
        cut=rounds * row.connections,
    )


def _headers(token: str) -> dict[str, str]:
    headers = {"content-type": "application/json"}

    if token:
        headers["authorization"] = f"Bearer {token}"

    return headers
