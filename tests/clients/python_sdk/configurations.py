"""The configurations of the pages, read as the programs read them that are not run here."""

# pyright: basic

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.clients.harness import (
    KIT_TOOLS,
    MODERN,
    check,
    documented,
    gateway,
    run_documented,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def entry_of(form: str, key: str = "mcpServers") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the only entry of a configuration, and all of it."""
    configuration = json.loads(documented(form))
    (entry,) = configuration[key].values()
    return entry, configuration


def expanded(text: str, values: Mapping[str, str], prefix: str = "") -> str:
    """Put the values in for `${<prefix>name}`; a name that is unknown is a fault."""
    return re.sub(rf"\$\{{{prefix}([A-Za-z0-9_-]+)\}}", lambda found: values[found[1]], text)


async def lists(url: str, headers: dict[str, str]) -> None:
    """Fail unless the upstream's tools are listed there."""
    assert not any("$" in value for value in headers.values()), "a variable is left"

    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=MODERN) as client,
    ):
        await lists_to(client)


async def lists_to(client: Client) -> None:
    names = [tool.name for tool in (await client.list_tools()).tools]
    same([name for name in names if name.startswith("kit__")], KIT_TOOLS)


@check("documented.claude-code.file")
async def _claude_code() -> None:
    entry, _ = entry_of("claude-code.file")
    same(entry["type"], "http")
    headers = {name: expanded(value, os.environ) for name, value in entry["headers"].items()}
    await lists(entry["url"], headers)


@check("documented.vscode.file")
async def _vscode() -> None:
    entry, configuration = entry_of("vscode.file", "servers")
    (asked,) = configuration["inputs"]
    same((entry["type"], asked["type"], asked["password"]), ("http", "promptString", True))
    answers = {asked["id"]: gateway.token}
    headers = {name: expanded(value, answers, "input:") for name, value in entry["headers"].items()}
    await lists(entry["url"], headers)


@check("documented.cursor.file")
async def _cursor() -> None:
    entry, _ = entry_of("cursor.file")
    headers = {
        name: expanded(value, os.environ, "env:") for name, value in entry["headers"].items()
    }
    await lists(entry["url"], headers)


@check("documented.chatgpt.ui")
async def _chatgpt() -> None:
    typed = dict(line.split(": ", 1) for line in documented("chatgpt.ui").splitlines())
    same(typed["Authentication"], "No authentication")
    await lists(typed["MCP Server URL"], {})


@check("documented.claude-desktop.bridge")
async def _claude_desktop() -> None:
    entry, _ = entry_of("claude-desktop.bridge")
    same(set(entry), {"command", "args"})
    # As there, the program gets none of the variables of this process but the usual ones.
    parameters = StdioServerParameters(command=entry["command"], args=entry["args"])

    async with Client(stdio_client(parameters), mode="legacy") as client:
        await lists_to(client)


@check("documented.python-sdk.v2")
def _python_sdk() -> None:
    run_documented("python-sdk.v2")
