"""The SDK's own server, alone: what a call of a tool costs without a gateway. Both eras.

In the mode that can tell of progress and be cancelled, as a gateway has to be.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server import Server

from benchmarks.tools import TOOLS

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    Context = ServerRequestContext[dict[str, Any], Any]

logging.getLogger("mcp").setLevel(logging.WARNING)
_LISTED = [types.Tool.model_validate(tool) for tool in TOOLS]
_SCHEMAS = {tool.name: tool.input_schema for tool in _LISTED}


async def list_tools(ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
    """List them all."""
    del ctx, params
    return types.ListToolsResult(tools=_LISTED, ttl_ms=5000, cache_scope="private")


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Say the text again."""
    del ctx
    text = (params.arguments or {}).get("text", "")
    return types.CallToolResult(content=[types.TextContent(type="text", text=str(text))])


_SERVER: Server[dict[str, Any]] = Server(
    "bench",
    get_tool_input_schema=_SCHEMAS.get,
    on_list_tools=list_tools,
    on_call_tool=call_tool,
)
# Nothing here is traced; the SDK's own middleware would make spans for nobody.
_SERVER.middleware[:] = []
app = _SERVER.streamable_http_app()
