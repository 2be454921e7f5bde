"""Errors as MCP clients see them: the JSON-RPC shape of the SPI is the one table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import MISSING_REQUIRED_CLIENT_CAPABILITY, URL_ELICITATION_REQUIRED

from spindle_mcp.eras import MODERN
from spindle_mcp.upstream.faults import CapabilityRequired, LinksRequired
from spindle_spi.errors import GatewayError, NotFound, shortened
from spindle_spi.shapes import JSON_RPC

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_RESOURCE_NOT_FOUND: Final = -32002
"""The protocol's own code for it, before 2026."""
_MAX_URI: Final = 8192


class UnknownResource(NotFound):
    """A resource that is absent or hidden."""

    default_code = "mcp.resource.not_found"

    def __init__(self, uri: str) -> None:
        super().__init__(f"Unknown resource: {shortened(uri)}")
        self.uri = uri[:_MAX_URI]


def rpc_error(error: GatewayError, trace_id: str, version: str = MODERN) -> MCPError:
    """Return an error as the SDK takes it, for a version of the protocol."""
    body: dict[str, Any] = json.loads(JSON_RPC.body(error, trace_id))["error"]
    data: JsonObject = body["data"]
    code: int = body["code"]

    if isinstance(error, UnknownResource):
        data = {"uri": error.uri, **data}
        code = code if version == MODERN else _RESOURCE_NOT_FOUND

    if isinstance(error, CapabilityRequired):
        # The protocol has a code and a form of its own for this one.
        code = MISSING_REQUIRED_CLIENT_CAPABILITY
        data = {"requiredCapabilities": error.required, **data}

    if isinstance(error, LinksRequired) and version != MODERN:
        code = URL_ELICITATION_REQUIRED
        data = {"elicitations": [*error.links], **data}

    return MCPError(code, body["message"], data)


def unknown_tool(name: str) -> NotFound:
    """Return the one answer to a tool that is absent or hidden."""
    return NotFound(f"Unknown tool: {shortened(name)}", code="mcp.tool.not_found")


def unknown_prompt(name: str) -> NotFound:
    """Return the one answer to a prompt that is absent or hidden."""
    return NotFound(f"Unknown prompt: {shortened(name)}", code="mcp.prompt.not_found")
