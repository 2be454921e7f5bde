"""`python -m benchmarks.mcp_soak`: idle sessions, calls in both eras, and nothing stays behind.

Memory does not grow, and when the sessions are closed no task and no connection is left.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvloop

from benchmarks.client import Client
from benchmarks.requests import call_legacy, call_modern
from benchmarks.soak import left_over, print_left, remains
from benchmarks.subjects import await_ready, collector, mint, spindle, upstream

if TYPE_CHECKING:
    from benchmarks.load import Request

_CLIENTS = 24
_WARM_UPS = 2
_TOOL = "bench__echo"


def main() -> int:
    """Run; 1 when something stays behind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp_soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--warm-up", type=int, default=2_000)
    options = parser.parse_args()
    started = time.monotonic()

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "spindle"
        source = stack.enter_context(upstream())
        traces = stack.enter_context(collector())
        gateway = stack.enter_context(spindle(home, source.url, traces.url))
        await_ready(gateway.url)
        token = str(mint(home, "--name", "soak", "--team", "bench", "--role", "developer")["token"])
        admin = (home / "admin-token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        _await_tool(gateway.url, headers)
        # What the first session starts for all of them stays.
        _round(gateway.url, headers, 1, 2, Counter())
        idle = left_over(gateway, source, traces, admin)
        answers: Counter[str] = Counter()
        # Twice: what the first sessions leave in cycles is collected while the next ones are open,
        # and only then has the heap its shape.
        for _ in range(_WARM_UPS):
            _round(gateway.url, headers, options.sessions, options.warm_up, answers)

        warm = left_over(gateway, source, traces, admin, idle)
        _round(gateway.url, headers, options.sessions, options.calls, answers)
        left = left_over(gateway, source, traces, admin, idle)

    faults = remains(idle, warm, left)
    calls = options.calls + _WARM_UPS * options.warm_up

    if answers != Counter(whole=calls):
        faults.append(f"{calls} calls were answered {dict(answers)}")

    sys.stdout.write(
        f"{options.sessions} sessions {_WARM_UPS + 1} times, {calls} calls: {dict(answers)}\n"
    )
    print_left(warm, left)
    sys.stdout.write(f"{time.monotonic() - started:.0f} s\n")
    sys.stdout.writelines(f"FAULT: {fault}\n" for fault in faults)
    return 1 if faults else 0


def _round(
    url: str, headers: dict[str, str], sessions: int, calls: int, answers: Counter[str]
) -> None:
    """Open sessions, call while they idle, one call in two inside one of them; close them."""
    held = [call_legacy(url, _TOOL, headers) for _ in range(sessions)]
    uvloop.run(_call(url, [call_modern(_TOOL, headers), *held], calls, answers))
    _close(url, held)


async def _call(url: str, requests: list[Request], calls: int, answers: Counter[str]) -> None:
    modern, *held = requests
    numbers = iter(range(calls))

    async def go_on() -> None:
        client = Client(url)

        try:
            for number in numbers:
                request = modern if number % 2 else held[number % len(held)]
                status = await client.ask(request)
                is_whole = status == 200 and b'"text"' in client.body
                answers["whole" if is_whole else f"{status}"] += 1
        finally:
            await client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(go_on())


def _close(url: str, held: list[Request]) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    try:
        for request in held:
            connection.request("DELETE", "/mcp", headers=request.headers)
            answer = connection.getresponse()
            answer.read()

            if answer.status != 200:
                raise RuntimeError(f"A session was closed with {answer.status}")
    finally:
        connection.close()


def _await_tool(url: str, headers: dict[str, str]) -> None:
    """Wait until the upstream's tool is there."""
    deadline = time.monotonic() + 30

    async def is_there() -> bool:
        client = Client(url)

        try:
            return await client.ask(call_modern(_TOOL, headers)) == 200 and b'"text"' in client.body
        finally:
            await client.close()

    while not uvloop.run(is_there()):
        if time.monotonic() > deadline:
            raise RuntimeError("The upstream's tool does not come")

        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
