"""Proof, in the same run, that what was measured was the governed path."""

from __future__ import annotations

import re
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from benchmarks.dialects import MODEL
from benchmarks.requests import chat
from benchmarks.subjects import revoke

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


def check_calls(
    gateway: Running,
    home: Path,
    caller: dict[str, object],
    admin: str,
    sent: tuple[int, int, float],
) -> None:
    """Compare settled calls with answers and usage rows; try a hidden model and a revoked token.

    `sent` are the requests that were answered, at most how many more were begun, and how many
    calls were settled before.
    """
    token = str(caller["token"])
    answered, cut, before = sent
    # The flush window and calls that wrk cut on their way have to end first.
    time.sleep(3)
    total = metric(gateway.url, "spindle_calls_total", admin)
    counted = total - before
    assert answered <= counted <= answered + cut, f"{counted} calls for {answered} answers"
    written = _usage_rows(home)
    assert written == total, f"{written} usage rows for {total} settled calls"
    hidden = chat("bench~hidden", stream=False, token=token)
    assert status_of(gateway.url, hidden) == 404, "a hidden model answers"
    mine = chat(f"bench~{MODEL}", stream=False, token=token)
    assert status_of(gateway.url, mine) == 200
    revoke(home, str(caller["id"]))
    after = await_status(gateway.url, mine, 401)
    sys.stdout.write(
        f"policy was on: {written} usage rows = {total:.0f} settled calls,"
        f" {counted:.0f} of them for {answered} answers and at most {cut} cut requests,"
        f" hidden model 404, revoked token 401 after {after:.2f} s\n"
    )


def check_governed(home: Path, token_id: str, traced: int, traces: Running) -> None:
    """Compare budgets with usage rows, and look for the refusal and the spans."""
    tokens = check_budgets(home, token_id)
    check_refusal(home, token_id)
    # Of each request that is traced, one of the request and one of the call.
    spans = await_spans(traces, traced)
    sys.stdout.write(
        f"and so was the rest: {tokens} tokens in both budgets as in the usage rows, {spans} spans"
        f" at the collector, the refusal in the audit log\n"
    )


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


def _usage_rows(home: Path) -> int:
    with sqlite3.connect(home / "spindle.db") as connection:
        (count,) = connection.execute("select count(*) from usage").fetchone()
        return int(count)


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
