"""The gateway the journeys walk through: two teams, a scripted upstream, both protocols."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from tests.support.spindle_process import SpindleProcess, running_spindle
from tests.support.upstream_process import Upstream, running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from spindle_spi.types import JsonObject

MODELS = (
    *("plain", "echo", "pii", "tools", "reasoning", "slow", "hang", "html", "cut"),
    *("error-429", "error-500", "error-401"),
)
HIDDEN_MODEL = "up~secret"
HIDDEN_TOOL = "vault__echo"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway with the tokens of its two teams."""

    process: SpindleProcess
    upstream: Upstream
    red: str
    """A developer of the team red."""
    blue: str
    """A developer of the team blue, from whom some records are hidden."""

    @property
    def url(self) -> str:
        return self.process.url

    async def token_id(self, team: str) -> str:
        """The id of a team's token: a service token's own name in session chat."""
        tokens = json.loads(await spindle(self.process.home, "token", "list", "--json"))
        return next(str(token["id"]) for token in tokens if token["teams"] == [team])


def configuration(
    upstream_url: str,
    *,
    transport: str = "direct",
    hidden: bool = True,
    pii: bool = False,
    local: bool = False,
) -> JsonObject:
    """The gateway's configuration; without `hidden` the hidden records do not exist at all.

    With `local` an administrator may add upstreams on this machine.
    """
    models: list[object] = [{"name": name} for name in MODELS]
    gateways: dict[str, object] = {"demo": {"transport": "builtin"}}
    team: dict[str, object] = {"visibility": "team", "team": "red"}

    if hidden:
        models.append({"name": "secret", **team})
        gateways["vault"] = {"transport": "builtin", **team}

    settings: dict[str, object] = {
        "spi": {"transport": transport},
        "llm": {
            "services": {"up": {"provider_type": "openai", "urls": [upstream_url]}},
            # Most of its models fail on purpose, and none is left alone for that.
            "routing": {"breaker": {"failures": 10**6, "ratio": 1.0, "ratio_calls": 10**6}},
        },
        "mcp": {"gateways": gateways},
        "model_tools": {"ask": {"model": "up~plain", "description": "Ask the model."}},
        "servers": {"desk": {"gateways": list(gateways), "visibility": "public"}},
    }
    settings["llm"]["services"]["up"]["models"] = models  # type: ignore[index]

    if local:
        settings["egress"] = {"allowed_hosts": ["127.0.0.1"]}

    if pii:
        settings["plugins"] = {
            "entries": [{"name": "pii", "plugin": "pii", "config": {"action": "mask"}}]
        }

    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]


@asynccontextmanager
async def running_gateway(
    home: Path, *, chunk: int = 0, **options: object
) -> AsyncGenerator[Gateway]:
    """Run upstream and gateway; mint a token for each team."""
    async with running_upstream(chunk=chunk) as upstream:
        settings = configuration(f"{upstream.url}/v1", **options)  # type: ignore[arg-type]

        async with running_spindle(settings, home=home) as process:
            red = await create_token(home, "--team", "red", "--role", "developer")
            blue = await create_token(home, "--team", "blue", "--role", "developer")

            for token in (red, blue):
                await in_force(process, token)

            yield Gateway(process, upstream, red, blue)


async def in_force(process: SpindleProcess, token: str) -> None:
    """Wait until the gateway knows a token another process made: a second, by its promise."""
    with anyio.fail_after(2):
        async with process.client(token) as client:
            while (await client.get("/v1/models")).status_code == 401:
                await anyio.sleep(0.05)


async def create_token(home: Path, *arguments: str) -> str:
    """Mint a token by the command line, as an operator would."""
    created = await spindle(home, "token", "create", "--json", *arguments)
    return str(json.loads(created)["token"])


async def spindle(home: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run a command of the gateway and return what it printed."""

    def run() -> str:
        finished = subprocess.run(
            [sys.executable, "-m", "spindle", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={**os.environ, "SPINDLE_HOME": str(home), **(env or {})},
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return await anyio.to_thread.run_sync(run)
