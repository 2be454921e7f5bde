"""Programs of the conformance legs: the SDK's everything-server, a gateway, and their starts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.mcp_suite import CACHE

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parent.parent
SDK = "mcp==2.3.0"
EVERYTHING = Path("examples") / "servers" / "everything-server"
READY = re.compile(r"Spindle is listening on (http://\S+)")
START_SECONDS = 60.0


def fetch_sdk() -> Path:
    """Return the folder of the SDK's source archive, which holds its servers and clients."""
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

    return unpacked


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


def wait_for_tools(endpoint: str, seconds: float = START_SECONDS) -> None:
    """Return when an endpoint lists a tool.

    Raises:
        SystemExit: It lists none within the time.
    """
    deadline = time.monotonic() + seconds

    while time.monotonic() < deadline:
        if lists_tools(endpoint):
            return

        time.sleep(0.05)

    raise SystemExit(f"{endpoint} lists no tool within {seconds:.0f} s.")


def lists_tools(endpoint: str, token: str = "") -> bool:
    """Tell whether an endpoint answers, and lists a tool."""
    meta: dict[str, object] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
    }

    if token:
        headers["authorization"] = f"Bearer {token}"

    request = urllib.request.Request(endpoint, json.dumps(body).encode(), headers)

    with (
        contextlib.suppress(urllib.error.URLError, ConnectionError),
        urllib.request.urlopen(request, timeout=10) as answer,
    ):
        return bool(json.load(answer)["result"]["tools"])

    return False


def check_alive(process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        raise SystemExit(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")

    time.sleep(0.05)
