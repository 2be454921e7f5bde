"""`python -m benchmarks.blast_radius`: what three bad upstreams of twenty cost the calls to others.

Pairs of runs over one gateway, quiet and noisy: the same calls at the same pace, once with all
upstreams well, once with one that hangs, one that dies every second, one that answers garbage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks.client import Client
from benchmarks.processes import free_port, running
from benchmarks.requests import call_modern
from benchmarks.subjects import await_ready, mint

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.load import Request
    from benchmarks.processes import Running

_GOOD = 17
_BAD = ("hangs", "dies", "garbage")
_CLIENTS, _PACE = 8, 0.04
"""Clients of the good ones, and seconds between the calls of one: 200 calls a second."""
_BAD_CLIENTS, _BAD_PACE = 6, 0.1
"""The same for each of the bad ones: 60 calls a second, as long as they are answered."""
_MOST_FACTOR, _MOST_ADDED = 1.5, 0.005
_SETTLED_SECONDS = 60.0
_CODE = re.compile(rb'"code":"([a-z._]+)"')
_OK = "ok"
_BROKEN = (OSError, EOFError, TimeoutError, ValueError)


@dataclass(slots=True)
class Run:
    """What came of one run."""

    seconds: list[float] = field(default_factory=list[float])
    """Of the calls to good ones."""
    answers: Counter[str] = field(default_factory=Counter[str])
    bad: Counter[str] = field(default_factory=Counter[str])

    @property
    def p99(self) -> float:
        """Seconds."""
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def main() -> int:
    """Run; 1 when the others suffer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blast_radius", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    options = parser.parse_args()

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "spindle"
        control, gateway = stack.enter_context(_started(home))
        caller = mint(home, "--name", "blast", "--team", "bench", "--role", "developer")
        calls = _calls(str(caller["token"]))
        faults = uvloop.run(_measure(control, gateway, calls, options.pairs, options.seconds))

    sys.stdout.writelines(f"FAULT: {fault}\n" for fault in faults)
    return 1 if faults else 0


async def _measure(
    control: Running, gateway: Running, calls: dict[str, Request], pairs: int, seconds: float
) -> list[str]:
    ratios: list[float] = []
    added: list[float] = []
    faults: list[str] = []
    await _run(control, gateway, calls, seconds / 2, is_noisy=False)

    for number in range(pairs):
        # In turn, so that what grows or wears off meets both alike.
        order = (False, True) if number % 2 == 0 else (True, False)
        runs = {
            noisy: await _run(control, gateway, calls, seconds, is_noisy=noisy) for noisy in order
        }
        quiet, noisy = runs[False], runs[True]
        ratios.append(noisy.p99 / quiet.p99)
        added.append(noisy.p99 - quiet.p99)
        _print(number, quiet, noisy)

        for name, run in (("quiet", quiet), ("noisy", noisy)):
            if set(run.answers) != {_OK}:
                faults.append(f"{name}: calls to good upstreams were answered {dict(run.answers)}")

        if set(noisy.bad) == {_OK}:
            faults.append("the bad upstreams were not bad")

    ratio, more = statistics.median(ratios), statistics.median(added)
    sys.stdout.write(
        f"median of {pairs} pairs: p99 noisy / quiet {ratio:.2f},"
        f" noisy - quiet {more * 1e3:+.2f} ms"
        f" (allowed: {_MOST_FACTOR} or +{_MOST_ADDED * 1e3:.0f} ms)\n"
    )

    if ratio > _MOST_FACTOR and more > _MOST_ADDED:
        faults.append("the calls to others suffer")

    return faults


async def _run(
    control: Running,
    gateway: Running,
    calls: dict[str, Request],
    seconds: float,
    *,
    is_noisy: bool,
) -> Run:
    await _switch(control, "noisy" if is_noisy else "quiet")

    if not is_noisy:
        await _all_well(gateway, calls)

    run, until = Run(), time.monotonic() + seconds
    good = [request for name, request in calls.items() if name not in _BAD]

    async def call_good(number: int) -> None:
        client, turn = Client(gateway.url), number

        try:
            while time.monotonic() < until:
                started = time.perf_counter()
                run.answers[await _asked(client, good[turn % len(good)])] += 1
                took = time.perf_counter() - started
                run.seconds.append(took)
                turn += 1
                await asyncio.sleep(max(0.0, _PACE - took))
        finally:
            await client.close()

    async def call_bad(request: Request) -> None:
        client = Client(gateway.url)

        try:
            while time.monotonic() < until:
                started = time.perf_counter()
                run.bad[await _asked(client, request)] += 1
                await asyncio.sleep(max(0.0, _BAD_PACE - (time.perf_counter() - started)))
        finally:
            await client.close()

    async with asyncio.TaskGroup() as group:
        for number in range(_CLIENTS):
            group.create_task(call_good(number * 2))

        for name in _BAD:
            for _ in range(_BAD_CLIENTS):
                group.create_task(call_bad(calls[name]))

    return run


async def _asked(client: Client, request: Request) -> str:
    """Return what a call came to: the code of an error says it, not the status."""
    try:
        await client.ask(request)
    except _BROKEN:
        await client.close()
        return "no answer"

    found = _CODE.search(client.body)
    return _OK if found is None else found.group(1).decode()


async def _all_well(gateway: Running, calls: dict[str, Request]) -> None:
    """Wait until every upstream is used again: pauses and open circuits end by themselves."""
    deadline = time.monotonic() + _SETTLED_SECONDS
    client = Client(gateway.url)

    try:
        for name, request in calls.items():
            while await _asked(client, request) != _OK:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{name} does not work again")

                await asyncio.sleep(0.05)
    finally:
        await client.close()


async def _switch(control: Running, mood: str) -> None:
    def ask() -> None:
        with urllib.request.urlopen(f"{control.url}/{mood}", timeout=5) as answer:
            answer.read()

    await asyncio.to_thread(ask)


def _print(number: int, quiet: Run, noisy: Run) -> None:
    bad = ", ".join(f"{count} × {answer}" for answer, count in noisy.bad.most_common())
    sys.stdout.write(
        f"pair {number + 1}: quiet p50 {quiet.median * 1e3:.2f} ms, p99 {quiet.p99 * 1e3:.2f} ms"
        f" ({len(quiet.seconds)} calls); noisy p50 {noisy.median * 1e3:.2f} ms,"
        f" p99 {noisy.p99 * 1e3:.2f} ms ({len(noisy.seconds)} calls); bad ones answered {bad}\n"
    )
    sys.stdout.flush()


def _calls(token: str) -> dict[str, Request]:
    names = [*(f"good{number}" for number in range(_GOOD)), *_BAD]
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    return {name: call_modern(f"{name}__echo", headers) for name in names}


@contextmanager
def _started(home: Path) -> Generator[tuple[Running, Running]]:
    """Run the upstreams and a gateway over them."""
    ports = [free_port() for _ in range(_GOOD)]
    bad = {name: free_port() for name in _BAD}
    control, port = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "benchmarks.bad_upstreams", str(control)),
        *(",".join(map(str, ports)), *map(str, bad.values())),
    ]
    home.mkdir(parents=True)
    configuration = home / "spindle.yaml"
    configuration.write_text(json.dumps(_configuration(ports, bad)))
    serve = [
        *(sys.executable, "-m", "spindle", "serve", "--port", str(port)),
        *("--home", str(home), "--config", str(configuration)),
    ]

    with (
        running("upstreams", command, control) as upstreams,
        running("spindle", serve, port) as gateway,
    ):
        await_ready(gateway.url)
        yield upstreams, gateway


def _configuration(ports: list[int], bad: dict[str, int]) -> dict[str, object]:
    where = {**{f"good{number}": port for number, port in enumerate(ports)}, **bad}
    return {
        "mcp": {
            "connect_seconds": 2,
            "refresh_seconds": 5,
            "reconnect_max_seconds": 2,
            "gateways": {
                name: {
                    "url": f"http://127.0.0.1:{port}/mcp",
                    "timeout": 2,
                    "visibility": "team",
                    "team": "bench",
                }
                for name, port in where.items()
            },
        }
    }


if __name__ == "__main__":
    sys.exit(main())
