"""Runs `spindle serve` as another process, for tests that need the real thing.

At the end the process gets SIGTERM and must leave with exit code 0 and no traceback.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

START_SECONDS = 40.0
"""Generous: many processes may share the machine's cores."""
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SpindleProcess:
    """A gateway in its own process."""

    process: subprocess.Popen[bytes]
    home: Path

    @property
    def stdout(self) -> list[str]:
        """The lines printed so far."""
        return (self.home / "stdout.txt").read_text().splitlines()

    @property
    def stderr(self) -> str:
        """What went to stderr so far."""
        return (self.home / "stderr.txt").read_text()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.stdout[0].removeprefix("Spindle is listening on ")

    @property
    def admin_token(self) -> str:
        """The administrator's token."""
        return (self.home / "admin-token").read_text().strip()

    def client(self, token: str | None = None) -> httpx2.AsyncClient:
        """Return an HTTP client with a token, the administrator's by default; "" sends none."""
        shown = self.admin_token if token is None else token
        headers = {"authorization": f"Bearer {shown}"} if shown else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30.0)

    async def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics: `name{label="value"}` to number."""
        async with self.client() as client:
            response = await client.get("/metrics")

        assert response.status_code == 200, response.text
        samples = [line for line in response.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in samples)}

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end and return the exit code."""
        await until(lambda: self.process.poll() is not None, STOP_SECONDS)
        return self.process.returncode


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition of another process; there is no event to wait on."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def running_spindle(
    config: str | Mapping[str, object] | None = None,
    *,
    home: Path,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    python: str = sys.executable,
) -> AsyncGenerator[SpindleProcess]:
    """Run a gateway with this configuration under this home until the block is left."""
    server = start_spindle(config, home=home, env=env, arguments=arguments, python=python)

    try:
        await until(
            lambda: server.process.poll() is not None or _is_announced(server), START_SECONDS
        )
        assert server.process.poll() is None, f"spindle serve ended early:\n{server.stderr}"
        yield server
    except BaseException:
        server.process.kill()
        server.process.wait()
        raise

    if server.process.poll() is None:
        code = await server.stop()
        assert code == 0, f"exit code {code}:\n{server.stderr}"

    assert "Traceback" not in server.stderr, server.stderr


def start_spindle(
    config: str | Mapping[str, object] | None = None,
    *,
    home: Path,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    python: str = sys.executable,
) -> SpindleProcess:
    """Start a gateway and wait for nothing; the caller ends it."""
    home.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "spindle", "serve", "--home", str(home)]

    if "--port" not in arguments:
        command += ["--port", "0"]

    if config is not None:
        path = home / "spindle.yaml"
        # JSON is YAML.
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        command += ["--config", str(path)]

    with (home / "stdout.txt").open("wb") as out, (home / "stderr.txt").open("wb") as err:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=clean_environment(env),
        )

    return SpindleProcess(process=process, home=home)


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without anything that configures a gateway."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SPINDLE_")}
    return {**kept, **(more or {})}


async def spindle_command(
    *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `spindle` command to its end."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "spindle", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env=clean_environment(env),
        )

    return await anyio.to_thread.run_sync(run)


def _is_announced(server: SpindleProcess) -> bool:
    first, end, _ = (server.home / "stdout.txt").read_text().partition("\n")
    return bool(end) and first.startswith("Spindle is listening on ")
