"""Load from wrk: a fixed number of requests in rounds, counted by what wrk reports."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_REQUESTS = re.compile(r"(\d+) requests in")
_FAILED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKETS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request to repeat."""

    path: str
    body: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run of wrk did."""

    requests: int
    failed: int


def send(url: str, request: Request, *, connections: int, seconds: float) -> Sent:
    """Send a request over and over for a time."""
    script = "\n".join(
        [
            'wrk.method = "POST"',
            f"wrk.body = {json.dumps(request.body)}",
            *(
                f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
                for name, value in request.headers.items()
            ),
        ]
    )

    with tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False) as file:
        file.write(script)

    try:
        finished = subprocess.run(
            [
                "wrk",
                *("-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s"),
                *("--timeout", "30s", "-s", file.name, url + request.path),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        Path(file.name).unlink()

    return _parsed(finished.stdout)


def _parsed(report: str) -> Sent:
    found = _REQUESTS.search(report)

    if found is None:
        raise RuntimeError(f"wrk said nothing of requests:\n{report}")

    failed = _FAILED.search(report)
    sockets = _SOCKETS.search(report)
    broken = sum(map(int, sockets.groups())) if sockets else 0
    return Sent(int(found.group(1)), (int(failed.group(1)) if failed else 0) + broken)
