"""Proof, in the same run, that what was measured was the governed path."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.load import Request


def metric(url: str, name: str, token: str) -> float:
    """Return the sum of a counter over its labels."""
    request = urllib.request.Request(f"{url}/metrics", headers={"authorization": f"Bearer {token}"})

    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()

    found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE)
    return sum(map(float, found))


def status_of(url: str, request: Request) -> int:
    """Return the HTTP status of one request."""
    wanted = urllib.request.Request(
        url + request.path, data=request.body.encode(), headers=request.headers, method="POST"
    )

    try:
        with urllib.request.urlopen(wanted, timeout=10) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def await_status(url: str, request: Request, status: int, seconds: float = 3) -> float:
    """Return after how many seconds a request gets a status."""
    started = time.monotonic()

    while time.monotonic() - started < seconds:
        if status_of(url, request) == status:
            return time.monotonic() - started

        time.sleep(0.02)

    raise AssertionError(f"{request.path} does not answer {status} within {seconds} s")
