"""Runs a scripted upstream as another process, for tests that need a real wire."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import httpx2
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import Json, JsonObject

_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The running upstream."""

    process: Process
    url: str
    """Where it listens, without a path; the dialect's base URL is `url + "/v1"`."""

    async def log(self, *, ended: int | None = None) -> list[JsonObject]:
        """Return the requests it saw; with `ended`, wait until that many of them are over."""
        query = "" if ended is None else f"?ended={ended}"
        value = await self._ask("GET", f"/_log{query}")
        assert isinstance(value, dict)
        requests = value["requests"]
        assert isinstance(requests, list)

        return [entry for entry in requests if isinstance(entry, dict)]

    async def reset(self) -> None:
        """Forget the requests seen so far."""
        await self._ask("POST", "/_reset")

    async def _ask(self, method: str, path: str) -> Json:
        async with httpx2.AsyncClient(trust_env=False, timeout=15.0) as client:
            response = await client.request(method, self.url + path)

        value: Json = json.loads(response.content)
        return value


@asynccontextmanager
async def running_upstream(
    *arguments: str, chunk: int = 0, module: str = "spindle_conformance.upstreams.openai"
) -> AsyncGenerator[Upstream]:
    """Run the upstream of a module; `chunk` bytes for each write, 0 for whole bodies."""
    command = (sys.executable, "-m", module, *arguments, "--port", "0", "--chunk", str(chunk))

    async with await anyio.open_process(command, stderr=subprocess.STDOUT) as process:
        try:
            yield Upstream(process=process, url=await _announced(process))
        finally:
            if process.returncode is None:
                process.terminate()

            with anyio.CancelScope(shield=True):
                await process.wait()


async def _announced(process: Process) -> str:
    assert process.stdout is not None

    with anyio.fail_after(_START_SECONDS):
        reader = BufferedByteReceiveStream(process.stdout)
        line = (await reader.receive_until(b"\n", 4096)).decode()

    prefix = "listening on "
    assert line.startswith(prefix), line

    return line.removeprefix(prefix).strip()
