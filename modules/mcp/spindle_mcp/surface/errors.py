"""Errors as MCP clients see them: the JSON-RPC shape of the SPI is the one table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import MISSING_REQUIRED_CLIENT_CAPABILITY

from spindle_mcp.upstream.faults import CapabilityRequired
from spindle_spi.errors import GatewayError, NotFound, shortened
from spindle_spi.shapes import JSON_RPC

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject


def rpc_error(error: GatewayError, trace_id: str) -> MCPError:
    """Return an error as the SDK takes it."""
    body: dict[str, Any] = json.loads(JSON_RPC.body(error, trace_id))["error"]
    data: JsonObject = body["data"]

    if isinstance(error, CapabilityRequired):
        # The protocol has a code and a form of its own for this one.
        return MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            body["message"],
            {"requiredCapabilities": error.required, **data},
        )

    return MCPError(body["code"], body["message"], data)


def unknown_tool(name: str) -> NotFound:
    """Return the one answer to a tool that is absent or hidden."""
    return NotFound(f"Unknown tool: {shortened(name)}", code="mcp.tool.not_found")
