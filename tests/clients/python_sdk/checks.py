"""The Python SDK, version 2, over HTTP in its three modes and over the bridge."""

# pyright: basic

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

import tests.clients.python_sdk.configurations  # noqa: F401 - registers its checks
from tests.clients.harness import (
    BRIDGE,
    LEGACY,
    MODERN,
    Hear,
    Outcome,
    Refused,
    Session,
    Way,
    gateway,
    register,
    run,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class SdkSession:
    """A connected client of the SDK."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def version(self) -> str:
        return self._client.protocol_version

    @property
    def server(self) -> str:
        info = self._client.server_info
        return "" if info is None else info.name

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        try:
            result: Any = await self._client.call_tool(name, arguments, progress_callback=hear)
        except MCPError as exc:
            raise Refused(exc.error.code, exc.error.message) from exc

        return Outcome(
            text="".join(part.text for part in result.content),
            structured=result.structured_content,
            is_error=result.is_error,
        )


def over_http(mode: str) -> Callable[[str, str | None], AbstractAsyncContextManager[Session]]:
    @asynccontextmanager
    async def connect(token: str, server: str | None) -> AsyncGenerator[Session]:
        headers = {"authorization": f"Bearer {token}"}

        async with (
            httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
            Client(
                streamable_http_client(gateway.endpoint(server), http_client=http), mode=mode
            ) as client,
        ):
            yield SdkSession(client)

    return connect


def over_bridge(mode: str) -> Callable[[str, str | None], AbstractAsyncContextManager[Session]]:
    @asynccontextmanager
    async def connect(token: str, server: str | None) -> AsyncGenerator[Session]:
        part = [] if server is None else ["--server", server]
        parameters = StdioServerParameters(
            command=BRIDGE[0],
            args=[*BRIDGE[1:], "--url", gateway.url, *part],
            env={"SPINDLE_TOKEN": token},
        )

        async with Client(stdio_client(parameters), mode=mode) as client:
            yield SdkSession(client)

    return connect


register(
    Way("auto", MODERN, over_http("auto")),
    Way("modern", MODERN, over_http(MODERN), server=""),
    Way("legacy", LEGACY, over_http("legacy")),
    # A slow start would make `auto` fall back; it asks first for all ways but this one.
    Way("bridge", MODERN, over_bridge(MODERN), server=""),
    Way("bridge_legacy", LEGACY, over_bridge("legacy")),
)

if __name__ == "__main__":
    run()
