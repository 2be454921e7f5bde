"""The MCP protocol module of Spindle: serves the catalog over MCP, in both its eras.

Reaches upstream MCP servers and publishes what they offer. Policy is the core's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_mcp.module import McpModule

__all__ = ["McpModule"]


def __getattr__(name: str) -> object:
    # The stdio command lives in this package too and must not wait for the whole SDK.
    if name == "McpModule":
        from spindle_mcp.module import McpModule

        return McpModule

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
