"""Requests to upstreams, as tests of connections write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_mcp.upstream.connections.base import Request

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject


def tool_call(
    name: str,
    arguments: JsonObject | None = None,
    *,
    silence: float,
    deadline: float | None = None,
) -> Request:
    return Request(
        method="tools/call",
        params={"name": name, "arguments": arguments or {}},
        name=name,
        silence=silence,
        deadline=deadline,
    )
