"""`python -m benchmarks`: measure every row, prove that policy was on, print the table."""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.policy_proof import (
    await_spans,
    await_status,
    check_budgets,
    check_refusal,
    metric,
    status_of,
)
from benchmarks.rows import Measured, Row, call_legacy, call_modern, chat, measure
from benchmarks.subjects import (
    SAMPLED,
    await_ready,
    bare_relay,
    bound,
    collector,
    mint,
    nginx,
    revoke,
    spindle,
    upstream,
)
from benchmarks.upstream import MODEL

if TYPE_CHECKING:
    from benchmarks.load import Request
    from benchmarks.processes import Running

_FACTOR = 1.5
"""How far above the budgets of the architecture a row may be today."""
_UNARY, _STREAM = "chat, unary, 1 KB", "chat, paced stream of 100 chunks"
_MODERN, _LEGACY = "tools/call, modern", "tools/call, legacy"
_READY_BUDGET_S, _MEMORY_BUDGET_MB = 2.0, 130.0


def main() -> int:
    """Run the benchmark; 1 when a row is over its budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="requests for each cell")
    parser.add_argument("--rows", default="", help="only rows whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    for tool in ("nginx", "wrk"):
        if shutil.which(tool) is None:
            sys.stderr.write(f"{tool} is needed: apt install nginx-light wrk\n")
            return 2

    rows = [
        row
        for row in (
            Row(_UNARY, 0.20, 32, options.requests),
            Row(_STREAM, 3.5, 192, options.requests),
            Row(_MODERN, 0.40, 16, options.requests),
            Row(_LEGACY, 0.90, 16, options.requests),
        )
        if options.rows in row.name
    ]
    return _run(rows, options.json)


def _run(rows: list[Row], report: Path | None) -> int:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = stack.enter_context(upstream())
        traces = stack.enter_context(collector())
        started = time.monotonic()
        gateway = stack.enter_context(spindle(home / "spindle", source.url, traces.url))
        await_ready(gateway.url)
        ready_s, memory = time.monotonic() - started, gateway.memory_mb()
        others = [
            stack.enter_context(nginx(home / "nginx", source.port)),
            stack.enter_context(bare_relay(source.url)),
        ]
        cells = _measure_rows(rows, gateway, others, home / "spindle", traces)
        final_memory = gateway.memory_mb()

    over = _print(rows, cells)
    sys.stdout.write(
        f"\nstart to /ready {ready_s:.2f} s (budget {_READY_BUDGET_S})"
        f" · idle {memory:.0f} MB (budget {_MEMORY_BUDGET_MB:.0f}),"
        f" after the run {final_memory:.0f} MB\n"
    )
    over += [] if ready_s <= _READY_BUDGET_S * _FACTOR else ["start"]
    over += [] if memory <= _MEMORY_BUDGET_MB * _FACTOR else ["memory"]

    if report is not None:
        report.write_text(json.dumps(_figures(cells, ready_s, memory), indent=2))

    if over:
        sys.stdout.write(f"OVER {_FACTOR} x BUDGET: {', '.join(over)}\n")

    return 1 if over else 0


def _measure_rows(
    rows: list[Row], gateway: Running, others: list[Running], home: Path, traces: Running
) -> dict[str, list[Measured]]:
    bound(home, "--scope", "team", "--name", "bench")
    bound(home, "--scope", "token", "--name", "*")
    caller = mint(home, "--name", "bench", "--team", "bench", "--role", "developer")
    # In force from the start, where a token made now takes up to a second.
    token, admin = str(caller["token"]), (home / "admin-token").read_text().strip()
    await_status(gateway.url, chat(f"bench~{MODEL}", stream=False, token=token), 200)
    await_status(gateway.url, call_modern("bench__echo", "/mcp", token), 200)
    before = _rows_counted(gateway, admin)
    cells: dict[str, list[Measured]] = {}
    ours: list[Measured] = []

    for row in rows:
        sys.stderr.write(f"{row.name} …\n")
        cells[row.name] = []

        for subject in (*others, gateway):
            request = _request(row.name, subject, token if subject is gateway else "")
            found = measure(subject, request, row)
            cells[row.name].append(found)
            ours += [found] if subject is gateway else []

            if found.failed:
                raise AssertionError(f"{found.failed} failures of {subject.name} in {row.name}")

    _prove(gateway, home, caller, admin, ours, before)
    _prove_governed(home, str(caller["id"]), sum(cell.sent for cell in ours), traces)
    return cells


def _request(row: str, subject: Running, token: str) -> Request:
    ours = bool(token)
    model, tool = (f"bench~{MODEL}", "bench__echo") if ours else (MODEL, "echo")

    if row in (_UNARY, _STREAM):
        return chat(model, stream=row == _STREAM, token=token)

    if row == _LEGACY and ours:
        return call_legacy(subject.url, tool, token)

    return call_modern(tool, "/mcp", token)


def _rows_counted(gateway: Running, admin: str) -> float:
    return metric(gateway.url, "spindle_calls_total", admin)


def _prove(
    gateway: Running,
    home: Path,
    caller: dict[str, object],
    admin: str,
    ours: list[Measured],
    before: float,
) -> None:
    token = str(caller["token"])
    answered, cut = sum(cell.sent for cell in ours), sum(cell.cut for cell in ours)
    # The flush window and calls that wrk cut on their way have to end first.
    time.sleep(3)
    total = _rows_counted(gateway, admin)
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


def _prove_governed(home: Path, token_id: str, answered: int, traces: Running) -> None:
    tokens = check_budgets(home, token_id)
    check_refusal(home, token_id)
    # Of each request that is traced, one of the request and one of the call.
    spans = await_spans(traces, round(answered * SAMPLED))
    sys.stdout.write(
        f"and so was the rest: {tokens} tokens in both budgets as in the usage rows, {spans} spans"
        f" at the collector, the refusal in the audit log\n\n"
    )


def _usage_rows(home: Path) -> int:
    with sqlite3.connect(home / "spindle.db") as connection:
        (count,) = connection.execute("select count(*) from usage").fetchone()
        return int(count)


def _print(rows: list[Row], cells: dict[str, list[Measured]]) -> list[str]:
    over: list[str] = []
    sys.stdout.write("| CPU ms per request | nginx | bare relay | spindle | budget |\n")
    sys.stdout.write("|---|---|---|---|---|\n")

    for row in rows:
        by_name = {cell.subject: cell for cell in cells[row.name]}
        ours = by_name["spindle"].cpu_ms
        figures = " | ".join(
            f"{by_name[name].cpu_ms:.3f}" for name in ("nginx", "bare relay", "spindle")
        )
        sys.stdout.write(f"| {row.name} | {figures} | {row.budget_ms} |\n")

        if ours > row.budget_ms * _FACTOR:
            over.append(row.name)

    return over


def _figures(cells: dict[str, list[Measured]], ready_s: float, memory: float) -> dict[str, object]:
    rows = {
        name: {cell.subject: {"cpu_ms": cell.cpu_ms, "requests": cell.requests} for cell in found}
        for name, found in cells.items()
    }
    return {"rows": rows, "ready_s": ready_s, "idle_mb": memory}


if __name__ == "__main__":
    sys.exit(main())
