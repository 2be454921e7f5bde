"""`python -m benchmarks.soak`: many requests, clients that leave, and nothing that stays behind.

Memory does not grow, no task and no connection is left, and the ledger has every request that was
not refused, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks.client import Client, Leave
from benchmarks.dialects import MODEL
from benchmarks.policy_proof import await_status, metric
from benchmarks.requests import chat
from benchmarks.subjects import collector, mint, spindle, upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.load import Request
    from benchmarks.processes import Running

_CLIENTS = 24
_MOST_GROWTH_MB = 5.0
_SETTLED_SECONDS = 15.0
"""How long what is under way may take to end, and its usage to be written."""
_CYCLE = 200
"""Requests after which the mixture begins anew; in it one in twenty clients leaves."""


@dataclass(slots=True)
class Sent:
    """What was sent, and what came of it."""

    requests: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])


@dataclass(frozen=True, slots=True)
class Left:
    """What is there of the gateway when nothing is under way."""

    memory_mb: float
    tasks: float
    sockets: int
    """Of the gateway, those to the upstream and the collector left out."""
    upstream: int
    """Connections that the upstream has open."""


class Mixture:
    """Which request comes next."""

    def __init__(self, token: str) -> None:
        self._unary = chat(f"bench~{MODEL}", stream=False, token=token)
        self._stream = _with(chat(f"bench~{MODEL}", stream=True, token=token), max_tokens=10)
        self._paced = chat(f"bench~{MODEL}", stream=True, token=token)
        self._late = _with(self._unary, user="late")
        self._late_stream = _with(self._paced, user="late")
        self._hidden = chat("bench~hidden", stream=False, token=token)

    def at(self, number: int) -> tuple[str, Request, Leave]:
        """Return the kind of a request, the request, and when its client leaves."""
        place = number % _CYCLE

        if place == 100:
            return "refused", self._hidden, Leave.NEVER

        if place % 40 == 10:
            late = self._late if place % 80 == 10 else self._late_stream
            return "left before the answer", late, Leave.BEFORE_THE_ANSWER

        if place % 40 == 30:
            return "left in the answer", self._paced, Leave.IN_THE_ANSWER

        if place % 3 == 0:
            return "streamed", self._stream, Leave.NEVER

        return "whole", self._unary, Leave.NEVER


def main() -> int:
    """Run; 1 when something stays behind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--warm-up", type=int, default=5_000)
    options = parser.parse_args()
    started = time.monotonic()

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "spindle"
        source = stack.enter_context(upstream())
        traces = stack.enter_context(collector())
        gateway = stack.enter_context(spindle(home, source.url, traces.url))
        faults = uvloop.run(_soak(gateway, source, traces, home, options.warm_up, options.requests))

    sys.stdout.write(f"{time.monotonic() - started:.0f} s\n")
    sys.stdout.writelines(f"FAULT: {fault}\n" for fault in faults)
    return 1 if faults else 0


async def _soak(
    gateway: Running, source: Running, traces: Running, home: Path, warm_up: int, requests: int
) -> list[str]:
    caller = mint(home, "--name", "soak", "--team", "bench", "--role", "developer")
    token, admin = str(caller["token"]), (home / "admin-token").read_text().strip()
    known = chat(f"bench~{MODEL}", stream=False, token=token)
    await_status(gateway.url, known, 200)
    mixture, sent = Mixture(token), Sent()
    before = _calls(gateway, admin)
    idle = left_over(gateway, source, traces, admin)
    await _send(gateway.url, mixture, sent, warm_up)
    warm = left_over(gateway, source, traces, admin, idle)
    await _send(gateway.url, mixture, sent, requests)
    # A connection whose client has left is read from for a little while before it is closed.
    _until(lambda: _sockets(gateway.process.pid, {source.port, traces.port}) <= idle.sockets)
    left = left_over(gateway, source, traces, admin, idle)
    faults = remains(idle, warm, left)
    faults += _ledger(gateway, home, admin, sent, before)
    _print(sent, warm, left)
    return faults


async def _send(url: str, mixture: Mixture, sent: Sent, requests: int) -> None:
    """Send so many requests from clients that all go on as fast as they are answered."""
    until = sent.requests + requests

    async def go_on() -> None:
        client = Client(url)

        try:
            while sent.requests < until:
                kind, request, leave = mixture.at(sent.requests)
                sent.requests += 1
                sent.kinds[kind] += 1
                sent.statuses[await client.ask(request, leave)] += 1
        finally:
            await client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(go_on())


def left_over(
    gateway: Running, source: Running, traces: Running, admin: str, idle: Left | None = None
) -> Left:
    """Return what there is once nothing is under way.

    `idle` is what there was before: what is there only for a moment has some seconds to go.
    """
    _until(lambda: metric(gateway.url, "spindle_permits_open", admin) == 0)
    # Asking is one request itself.
    _until(lambda: metric(gateway.url, "spindle_http_requests_active", admin) <= 1)

    def tasks() -> float:
        return metric(gateway.url, "spindle_tasks", admin)

    def sockets() -> int:
        return _sockets(gateway.process.pid, {source.port, traces.port})

    if idle is not None:
        _until(lambda: tasks() <= idle.tasks and sockets() <= idle.sockets)

    return Left(
        memory_mb=gateway.memory_mb(),
        tasks=tasks(),
        sockets=sockets(),
        upstream=_open(source),
    )


def remains(idle: Left, warm: Left, left: Left) -> list[str]:
    """Return what stays behind."""
    faults: list[str] = []
    growth = left.memory_mb - warm.memory_mb

    if growth >= _MOST_GROWTH_MB:
        faults.append(f"memory grew by {growth:.1f} MB, {_MOST_GROWTH_MB:.0f} are allowed")

    if not 0 < left.tasks <= idle.tasks:
        faults.append(f"{left.tasks:.0f} tasks, {idle.tasks:.0f} before the first request")

    if left.sockets > idle.sockets:
        faults.append(f"{left.sockets} sockets, {idle.sockets} before the first request")

    if left.upstream > _CLIENTS + 1:
        # Kept for the next call: as many as there were calls at once, and one that asked before.
        faults.append(f"{left.upstream} connections to the upstream for {_CLIENTS} clients")

    return faults


def _ledger(gateway: Running, home: Path, admin: str, sent: Sent, before: float) -> list[str]:
    """Compare what was sent with what was settled and refused, and with the usage rows."""
    refused = sent.kinds["refused"]
    settled = _calls(gateway, admin) - before
    faults: list[str] = []

    if settled + refused != sent.requests:
        faults.append(f"{sent.requests} requests, {settled:.0f} settled and {refused} refused")

    if sent.statuses[404] != refused:
        faults.append(f"{sent.statuses[404]} answers 404 for {refused} refused requests")

    _until(lambda: sum(_rows(home).values()) == settled + before)
    rows = _rows(home)
    sys.stdout.write(f"usage rows by status: {dict(rows)}\n")

    if sum(rows.values()) != settled + before:
        faults.append(f"{sum(rows.values())} usage rows for {settled + before:.0f} settled calls")

    whole = sent.kinds["whole"] + sent.kinds["streamed"] + int(before)
    begun, gone = sent.kinds["left in the answer"], sent.kinds["left before the answer"]

    if rows != Counter(ok=whole, partial=begun, cancelled=gone):
        faults.append(f"{dict(rows)} for {whole} whole, {begun} begun and {gone} given up")

    return faults


def _print(sent: Sent, warm: Left, left: Left) -> None:
    said = ", ".join(f"{count} {kind}" for kind, count in sent.kinds.items())
    sys.stdout.write(f"{sent.requests} requests: {said}\n")
    print_left(warm, left)


def print_left(warm: Left, left: Left) -> None:
    """Print what is there at the end."""
    sys.stdout.write(
        f"memory {warm.memory_mb:.1f} MB when warm, {left.memory_mb:.1f} MB at the end;"
        f" {left.tasks:.0f} tasks, {left.sockets} sockets"
        f" and {left.upstream} kept connections to the upstream\n"
    )


def _with(request: Request, **said: object) -> Request:
    return replace(request, body=json.dumps({**json.loads(request.body), **said}))


def _calls(gateway: Running, admin: str) -> float:
    return metric(gateway.url, "spindle_calls_total", admin)


def _rows(home: Path) -> Counter[str]:
    with sqlite3.connect(home / "spindle.db") as connection:
        return Counter(dict(connection.execute("select status, count(*) from usage group by 1")))


def _sockets(pid: int, ports: set[int]) -> int:
    """Return how many sockets a process has open, those to some local ports left out."""
    inodes = {
        _target(Path(f"/proc/{pid}/fd/{name}")).removeprefix("socket:").strip("[]")
        for name in os.listdir(f"/proc/{pid}/fd")
        if _target(Path(f"/proc/{pid}/fd/{name}")).startswith("socket:")
    }
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    out = {line[9] for line in lines if int(line[2].rpartition(":")[2], 16) in ports}
    return len(inodes - out)


def _target(name: Path) -> str:
    try:
        return str(name.readlink())
    except OSError:
        return ""


def _open(source: Running) -> int:
    with urllib.request.urlopen(source.url, timeout=5) as answer:
        return int(answer.read())


def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for a bounded time: what is compared then says the rest."""
    deadline = time.monotonic() + _SETTLED_SECONDS

    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
