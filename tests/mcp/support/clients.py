"""The SDK's client against a served module, and what its answers say in one word."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.client.session import MessageHandlerFnT

ERAS = ("2026-07-28", "legacy")


@asynccontextmanager
async def connected(
    url: str,
    *,
    token: str = "a",
    era: str = "auto",
    hear: MessageHandlerFnT | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AsyncGenerator[Client]:
    """Connect as the SDK does; pinning the modern era sends nothing first."""
    mode = "auto" if era == "2026-07-28" else era

    async with (
        httpx2.AsyncClient(
            headers={"authorization": f"Bearer {token}", **(headers or {})},
            timeout=httpx2.Timeout(20.0),
        ) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode=mode,
            message_handler=hear,
            **options,
        ) as client,
    ):
        yield client


async def subscribe(client: Client, uri: str) -> None:
    """Follow a resource as it was done before 2026; the client's own method warns of it."""
    params = types.SubscribeRequestParams(uri=uri)
    await client.session.send_request(types.SubscribeRequest(params=params), types.EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    params = types.UnsubscribeRequestParams(uri=uri)
    await client.session.send_request(types.UnsubscribeRequest(params=params), types.EmptyResult)


async def names(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


async def text_of(client: Client, tool: str, arguments: dict[str, object]) -> str:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert result.is_error is False
    return first_text(result)


def first_text(result: object) -> str:
    assert isinstance(result, CallToolResult)
    (part,) = result.content
    assert isinstance(part, TextContent)
    return part.text


async def error_of(client: Client, tool: str, arguments: dict[str, object]) -> MCPError:
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as exc:
        return exc

    raise AssertionError(f"no error, but {result}")
