"""The gateway the clients are checked against: the demo, our upstreams, and virtual servers."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from spindle_mcp.clients.snippets import clients
from tests.support.client_pages import GATEWAY, snippets
from tests.support.environments import NODE, NPX, ROOT
from tests.support.spindle_process import SpindleProcess, clean_environment, running_spindle
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx2

    from spindle_spi.types import JsonObject

UPSTREAMS = ("kit", "library", "asking")
_OFFER_SECONDS = 20.0
_META: JsonObject = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
_HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
}


def configuration(upstream: str) -> JsonObject:
    """Return the gateway's configuration over an upstream."""
    return {
        "modules": {"enabled": ["mcp"]},
        "mcp": {
            "gateways": {
                "demo": {"transport": "builtin"},
                **{name: {"url": f"{upstream}/{name}/mcp"} for name in UPSTREAMS},
            }
        },
        "servers": {
            "desk": {"gateways": ["kit"], "visibility": "public"},
            "open": {"gateways": ["kit"], "visibility": "public", "anonymous": True},
        },
    }


@asynccontextmanager
async def running_gateway(home: Path) -> AsyncGenerator[dict[str, str]]:
    """Run upstream and gateway; give the environment a client's script is run with."""
    async with (
        running_upstream(module="tests.clients.upstream") as upstream,
        running_spindle(configuration(upstream.url), home=home) as process,
    ):
        token = await _token(process)
        await _wait_for_offers(process, token)
        # Where the pages have people keep it.
        path = home / ".spindle" / "mcp-token"
        path.parent.mkdir()
        path.write_text(f"{token}\n")
        variables = clean_environment()
        others = (NODE.parent, Path(sys.executable).parent, variables.get("PATH", ""))
        programs = (_programs(home), *others)

        yield {
            **variables,
            "PATH": os.pathsep.join(map(str, programs)),
            "PYTHONPATH": str(ROOT),
            "SPINDLE_URL": process.url,
            "SPINDLE_TOKEN": token,
            "SPINDLE_BRIDGE": json.dumps([sys.executable, "-m", "spindle", "mcp"]),
            "SPINDLE_DOCUMENTED": json.dumps(documented(process.url)),
            # Neither a proxy of the machine's nor what programs keep at home is any part of this.
            "NO_PROXY": "*",
            "HOME": str(home),
            "MCP_REMOTE_CONFIG_DIR": str(home / "mcp-remote"),
            "npm_config_offline": "true",
            "npm_config_update_notifier": "false",
        }


def documented(url: str) -> dict[str, str]:
    """Return the snippets of the pages for this gateway, by `<client>.<form>`."""
    found: dict[str, str] = {}

    for name, client in clients().items():
        for snippet in snippets(f"{name}.md"):
            form = client.form(snippet.option("--form"))
            assert form is not None
            found.setdefault(f"{name}.{form.id}", snippet.text.replace(GATEWAY, url))

    return found


def _programs(home: Path) -> Path:
    """Return a folder with npx: the one beside this node finds its own parts in no wheel."""
    folder = home / "programs"
    folder.mkdir()
    npx = folder / "npx"
    npx.write_text(f'#!/bin/sh\nexec {shlex.join(NPX)} "$@"\n')
    npx.chmod(0o755)
    return folder


async def _token(process: SpindleProcess) -> str:
    wanted: JsonObject = {"name": "client", "role": "developer", "teams": ["red"]}

    async with process.client() as client:
        answer = await client.post("/admin/api/v1/tokens", json=wanted)

    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["token"])


async def _wait_for_offers(process: SpindleProcess, token: str) -> None:
    """Return when the gateway has read what every upstream offers."""
    with anyio.fail_after(_OFFER_SECONDS):
        async with process.client(token) as client:
            while not await _is_read(client):
                await anyio.sleep(0.05)


async def _is_read(client: httpx2.AsyncClient) -> bool:
    tools, prompts, resources = [
        await _listed(client, kind) for kind in ("tools", "prompts", "resources")
    ]
    read = {tool["name"].split("__")[0] for tool in tools}
    return bool(read.issuperset(UPSTREAMS) and prompts and resources)


async def _listed(client: httpx2.AsyncClient, kind: str) -> list[Any]:
    method = f"{kind}/list"
    request: JsonObject = {
        "jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": _META},
    }  # fmt: skip
    headers = {**_HEADERS, "mcp-method": method}
    answer: Any = (await client.post("/mcp", json=request, headers=headers)).json()
    return list(answer["result"][kind])
