"""Proof, in the same run, that what was measured was the governed path."""

from __future__ import annotations

import re
import sqlite3
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.load import Request
    from benchmarks.processes import Running


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


def check_budgets(home: Path, token_id: str) -> int:
    """Return the tokens a caller used: the same in its usage rows and in each of two budgets."""
    # What was used last is written within the flush window.
    time.sleep(3)

    with sqlite3.connect(home / "spindle.db") as connection:
        (used,) = connection.execute(
            "select coalesce(sum(input_tokens + output_tokens), 0) from usage"
            " where kind = 'model' and token_id = ?",
            (token_id,),
        ).fetchone()
        spent = connection.execute(
            "select sum(spent_tokens) from budget_spend where holder in (?, 'bench')"
            " group by budget_id",
            (token_id,),
        ).fetchall()

    assert spent == [(used,), (used,)], f"{spent} tokens in budgets for {used} in usage rows"
    return int(used)


def check_refusal(home: Path, token_id: str) -> None:
    """Find the refused call of the hidden model in the audit log."""
    with sqlite3.connect(home / "spindle.db") as connection:
        (count,) = connection.execute(
            "select count(*) from audit where token_id = ? and decision = 'denied'"
            " and target like '%hidden'",
            (token_id,),
        ).fetchone()

    assert count >= 1, "the refusal is not in the audit log"


def await_spans(traces: Running, wanted: int, seconds: float = 30) -> int:
    """Return how many spans a collector has, once there is one at least and half of those wanted.

    Which requests are traced is left to chance.
    """
    started, spans = time.monotonic(), 0

    while time.monotonic() - started < seconds:
        with urllib.request.urlopen(traces.url, timeout=5) as answer:
            spans = int(answer.read())

        if spans >= max(1, wanted // 2):
            return spans

        time.sleep(0.2)

    raise AssertionError(f"{spans} spans at the collector within {seconds} s")
