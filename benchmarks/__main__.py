"""`python -m benchmarks`: measure every row, prove that policy was on, print the table."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.dialects import MODEL
from benchmarks.latency import ASKED, added_ms
from benchmarks.peers import fastmcp_proxy, litellm, portkey
from benchmarks.policy_proof import (
    await_status,
    check_calls,
    check_governed,
    metric,
    status_of,
)
from benchmarks.report import Figures, write
from benchmarks.requests import Names, chat, request_of, short_stream
from benchmarks.rows import SLOW, measure, rows
from benchmarks.subjects import (
    SAMPLED,
    await_ready,
    bare_relay,
    bound,
    collector,
    mint,
    nginx,
    sdk_server,
    spindle,
    upstream,
)

if TYPE_CHECKING:
    from benchmarks.load import Request
    from benchmarks.processes import Running
    from benchmarks.rows import Measured, Row

_CACHE = Path(".cache/peers")


def main() -> int:
    """Run the benchmark; 1 when a row is far over its budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="requests for each cell")
    parser.add_argument("--rows", default="", help="only rows whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--peers", action="store_true", help="measure LiteLLM and Portkey as well")
    parser.add_argument("--uv", default="uv", help="the uv that installs LiteLLM")
    options = parser.parse_args()

    for tool in ("nginx", "wrk", *(["npm"] if options.peers else [])):
        if shutil.which(tool) is None:
            sys.stderr.write(f"{tool} is needed (apt install nginx-light wrk npm)\n")
            return 2

    wanted = [row for row in rows(options.requests) if options.rows in row.name]

    with ExitStack() as stack:
        bench = _Bench(stack, options.uv if options.peers else None)
        figures = bench.run(wanted)

    return write(figures, options.json)


class _Bench:
    """Everything that runs while it is measured."""

    def __init__(self, stack: ExitStack, uv: str | None) -> None:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.home = home / "spindle"
        self.source = stack.enter_context(upstream())
        self.traces = stack.enter_context(collector())
        started = time.monotonic()
        self.gateway = stack.enter_context(spindle(self.home, self.source.url, self.traces.url))
        await_ready(self.gateway.url)
        self.ready_s, self.idle_mb = time.monotonic() - started, self.gateway.memory_mb()
        self.subjects: dict[str, tuple[Running, Names]] = {}
        self._add(stack.enter_context(nginx(home / "nginx", self.source.port)), _bare())
        self._add(stack.enter_context(bare_relay(self.source.url)), _bare())
        bound(self.home, "--scope", "team", "--name", "bench")
        bound(self.home, "--scope", "token", "--name", "*")
        self.caller = mint(self.home, "--name", "bench", "--team", "bench", "--role", "developer")
        self.token = str(self.caller["token"])
        self.admin = (self.home / "admin-token").read_text().strip()
        ours = Names(
            model=f"bench~{MODEL}",
            translated=f"claude~{MODEL}",
            tool="bench__echo",
            speaks_mcp=True,
            headers={"authorization": f"Bearer {self.token}"},
        )
        self._add(self.gateway, ours)
        alone = stack.enter_context(sdk_server())
        self._add(alone, Names(model=None, tool="echo", speaks_mcp=True, headers={}))

        if uv is not None:
            for peer, names in (
                stack.enter_context(litellm(_CACHE, home, self.source.url, uv)),
                stack.enter_context(portkey(_CACHE, self.source.url)),
                stack.enter_context(fastmcp_proxy(_CACHE, f"{alone.url}/mcp", uv)),
            ):
                self._add(peer, names)

    def _add(self, subject: Running, names: Names) -> None:
        self.subjects[subject.name] = subject, names

    def run(self, wanted: list[Row]) -> Figures:
        """Measure the rows, and prove that what was measured was governed."""
        # In force from the start, where a token made now takes up to a second.
        for model in (f"bench~{MODEL}", f"claude~{MODEL}"):
            known = chat(model, stream=False, token=self.token)
            await_status(self.gateway.url, known, 200)

        before = metric(self.gateway.url, "spindle_calls_total", self.admin)
        cells = {row: self._measured(row) for row in wanted}
        # A list is read, not called: nothing of it is settled.
        called = [found for row, found in cells.items() if not row.name.startswith("tools/list")]
        ours = [cell for found in called for cell in found if cell.subject == "spindle"]
        first, asked = self._latencies()
        sent = sum(cell.sent for cell in ours) + asked
        cut = sum(cell.cut for cell in ours)
        check_calls(self.gateway, self.home, self.caller, self.admin, (sent, cut, before))
        check_governed(self.home, str(self.caller["id"]), round(sent * SAMPLED), self.traces)
        return Figures(
            subjects=list(self.subjects),
            cells=cells,
            first_chunk_ms=first,
            ready_s=self.ready_s,
            idle_mb=self.idle_mb,
            final_mb=self.gateway.memory_mb(),
        )

    def _measured(self, row: Row) -> list[Measured]:
        sys.stderr.write(f"{row.name} …\n")
        found: list[Measured] = []

        for subject, names in self.subjects.values():
            request = request_of(row.name, names, subject.url)

            if request is None:
                continue

            cell = measure(subject, request, row)

            if not cell.failed:
                found.append(cell)
            elif subject.name in SLOW:
                sys.stderr.write(f"{subject.name} failed {cell.failed} times: left out\n")
            else:
                raise AssertionError(f"{cell.failed} failures of {subject.name}")

        return found

    def _latencies(self) -> tuple[dict[str, float], int]:
        """Return the added milliseconds to the first chunk, and how often each was asked."""
        sys.stderr.write("first chunk …\n")
        asked: dict[str, tuple[int, Request]] = {}

        for name, (subject, names) in self.subjects.items():
            stream = short_stream(names)

            if stream is None or (name in SLOW and status_of(subject.url, stream) != 200):
                continue

            asked[name] = subject.port, stream

        direct = short_stream(_bare())
        assert direct is not None
        return added_ms((self.source.port, direct), asked), ASKED


def _bare() -> Names:
    return Names(tool="echo", headers={})


if __name__ == "__main__":
    sys.exit(main())
