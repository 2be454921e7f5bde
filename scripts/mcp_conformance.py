"""Run the official MCP conformance suite against a real gateway, and hold it to the baseline.

Behind the gateway stands the SDK's own everything-server, shown by an anonymous virtual server
without prefixes. Needs node (npx) and the package registries.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "mcp-everything"
BASELINE = ROOT / "tests" / "mcp" / "conformance_baseline.yml"
SDK = "mcp==2.3.0"
SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NPX = ("npx", "--yes", "-p", "node@22", "-p", SUITE, "conformance")
REVISIONS = ("2025-11-25", "2026-07-28")
EVERYTHING = Path("examples") / "servers" / "everything-server"
READY = re.compile(r"Spindle is listening on (http://\S+)")
START_SECONDS = 60.0

CONFIG = """\
modules: {{enabled: [mcp]}}
mcp:
  accelerated: {accelerated}
  gateways:
    everything: {{transport: streamable_http, url: "{upstream}"}}
servers:
  conformance:
    gateways: [everything]
    prefix_free: true
    anonymous: true
    visibility: public
    anonymous_permissions: [tools.read, tools.execute, resources.read, prompts.read, servers.read]
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One revision: how many required scenarios pass, and what does not."""

    revision: str
    required: int
    passed: int
    failures: tuple[str, ...]
    """`scenario:check` of every check that failed."""


def fetch_everything() -> Path:
    """Return the folder of the everything-server; it comes with the SDK's source archive."""
    unpacked = CACHE / SDK.replace("==", "-")

    if not (unpacked / EVERYTHING).is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [*find_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # Source of the SDK alone: what builds its metadata may come as wheels.
        subprocess.run(
            [*command, "--no-binary", "mcp", "--dest", str(CACHE), SDK], check=True, cwd=CACHE
        )

        with tarfile.open(next(CACHE.glob("mcp-*.tar.gz"))) as archive:
            # Python 3.11 has the filter from 3.11.4 on.
            if hasattr(tarfile, "data_filter"):
                archive.extractall(CACHE, filter="data")
            else:
                archive.extractall(CACHE)

    return unpacked / EVERYTHING


def find_pip() -> list[str]:
    """Return a pip: this Python's, that of the one it was made from, or one in the cache."""
    for python in dict.fromkeys((sys.executable, getattr(sys, "_base_executable", ""))):
        asked = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)

        if asked.returncode == 0:
            return [python, "-m", "pip"]

    tool = CACHE / "pip"
    subprocess.run([sys.executable, "-m", "venv", str(tool)], check=True)
    return [str(tool / "bin" / "python"), "-m", "pip"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], cwd: Path, log: Path) -> Generator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(cwd), "PYTHONUNBUFFERED": "1"}

    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env=environment
        )

        try:
            yield process
        finally:
            process.terminate()

            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS

    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return

        check_alive(process, log, deadline)


def wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS

    while True:
        found = READY.search(log.read_text(errors="replace"))

        if found is not None:
            return found.group(1)

        check_alive(process, log, deadline)


def wait_for_tools(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the gateway has read the upstream's tools."""
    deadline = time.monotonic() + START_SECONDS
    envelope: dict[str, object] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"_meta": envelope}
    body: dict[str, object] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": params,
    }
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
    }

    while True:
        request = urllib.request.Request(endpoint, json.dumps(body).encode(), headers)

        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(request, timeout=10) as answer,
        ):
            if json.load(answer)["result"]["tools"]:
                return

        check_alive(process, log, deadline)


def check_alive(process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        raise SystemExit(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")

    time.sleep(0.05)


@contextlib.contextmanager
def gateway(folder: Path, *, accelerated: bool) -> Generator[str]:
    """Run the everything-server and a gateway in front of it; give the endpoint's address."""
    server, port = fetch_everything(), free_port()
    upstream_log, gateway_log = folder / "upstream.log", folder / "gateway.log"
    upstream = [sys.executable, "-m", "mcp_everything_server", "--port", str(port)]
    config = folder / "spindle.yaml"
    config.write_text(
        CONFIG.format(upstream=f"http://127.0.0.1:{port}/mcp", accelerated=str(accelerated).lower())
    )
    serve = [sys.executable, "-m", "spindle", "serve", "--port", "0"]
    serve += ["--home", str(folder / "home"), "--config", str(config)]

    with running([*upstream, "--log-level", "WARNING"], server, upstream_log) as first:
        wait_for_port(port, first, upstream_log)

        with running(serve, ROOT, gateway_log) as second:
            base = wait_for_url(second, gateway_log).replace("127.0.0.1", "localhost")
            endpoint = f"{base}/servers/conformance/mcp"
            wait_for_tools(endpoint, second, gateway_log)
            yield endpoint


def required_of(revision: str) -> list[str]:
    """Return the server scenarios a revision requires."""
    listed = subprocess.run(
        [*NPX, "list", "--server", "--requirements", revision],
        check=True, capture_output=True, text=True, cwd=CACHE,
    ).stdout  # fmt: skip
    names: list[str] = []
    is_server = False

    for line in listed.splitlines():
        if line.startswith("Server scenarios"):
            is_server = True
        elif not line.startswith("  - "):
            is_server = is_server and not line.strip()
        elif is_server:
            names.append(line.removeprefix("  - ").split()[0])

    if not names:
        raise SystemExit(f"The suite names no required scenario for {revision}:\n{listed}")

    return names


def run_suite(endpoint: str, revision: str, folder: Path) -> Verdict:
    results, log = folder / revision, folder / f"suite-{revision}.log"
    command = [*NPX, "server", "--url", endpoint, "--requirements", revision]

    with log.open("wb") as output:
        # Its exit code knows nothing of our baseline; what it found is read below.
        subprocess.run(
            [*command, "-o", str(results)], check=False, cwd=CACHE,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip

    required = required_of(revision)
    failures: list[str] = []
    passed = 0

    for scenario in required:
        found = [path for path in results.glob("server-*") if is_of(scenario, path.name)]

        if not found:
            raise SystemExit(f"{scenario} did not run:\n{log.read_text(errors='replace')}")

        checks = json.loads((found[0] / "checks.json").read_text())
        failed = [check["id"] for check in checks if check["status"] == "FAILURE"]
        failures += [f"{scenario}:{check}" for check in dict.fromkeys(failed)]
        passed += not failed

    return Verdict(revision, len(required), passed, tuple(failures))


def is_of(scenario: str, folder: str) -> bool:
    """Tell whether a folder of results, `server-<scenario>-<time>`, is a scenario's."""
    return re.fullmatch(rf"server-{re.escape(scenario)}-\d{{4}}-\d\d-\d\dT.*", folder) is not None


def judge(verdict: Verdict, baseline: dict[str, str]) -> list[str]:
    """Return what keeps a revision from passing, in sentences."""
    failed = set(verdict.failures)
    faults = [
        f"{name} failed and is not on the baseline" for name in sorted(failed - set(baseline))
    ]
    faults += [f"{name} is on the baseline and passes" for name in sorted(set(baseline) - failed)]
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="leave logs and results in this folder")
    parser.add_argument("--url", help="test this endpoint instead of a gateway of our own")
    parser.add_argument(
        "--plain", action="store_true", help="without the accelerated path of tools/call"
    )
    options = parser.parse_args()

    if shutil.which("npx") is None:
        raise SystemExit("npx is missing: install node (20 or newer).")

    CACHE.mkdir(parents=True, exist_ok=True)
    baseline: dict[str, dict[str, str]] = yaml.safe_load(BASELINE.read_text())
    has_failed = False

    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        endpoint = options.url or stack.enter_context(
            gateway(folder, accelerated=not options.plain)
        )

        for revision in REVISIONS:
            verdict = run_suite(endpoint, revision, folder)
            faults = judge(verdict, baseline[revision])
            has_failed = has_failed or bool(faults)
            rest = verdict.required - verdict.passed
            print(
                f"{revision}: required {verdict.required} passed {verdict.passed} baseline {rest}"
            )

            for fault in faults:
                print(f"  {fault}")

    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
