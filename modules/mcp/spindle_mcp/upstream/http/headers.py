"""Arguments that a tool wants mirrored into HTTP headers (`x-mcp-header`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.shared.inbound import find_invalid_x_mcp_header, x_mcp_header_map

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

HeaderMap = dict[tuple[str, ...], str]


def has_bad_headers(tool: JsonObject) -> bool:
    """Tell whether a tool wants arguments mirrored into headers in a way clients must refuse."""
    return find_invalid_x_mcp_header(tool.get("inputSchema")) is not None


def header_maps(tools: list[JsonObject]) -> dict[str, HeaderMap]:
    """Return, by the names of tools, which arguments stand in which headers."""
    maps: dict[str, HeaderMap] = {}

    for tool in tools:
        name = tool.get("name")

        if isinstance(name, str) and not has_bad_headers(tool):
            found = x_mcp_header_map(tool.get("inputSchema"))

            if found:
                maps[name] = found

    return maps
