"""Opens the right kind of connection to a gateway's upstream, whichever era it speaks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from spindle_mcp.demo import DemoUpstream
from spindle_mcp.upstream.connections.legacy import open_legacy
from spindle_mcp.upstream.connections.modern import open_modern
from spindle_mcp.upstream.connections.probe import speaks_modern
from spindle_mcp.upstream.http.http_sse import sse_streams
from spindle_mcp.upstream.openapi.upstream import open_openapi
from spindle_mcp.upstream.programs.stdio import open_own_program, open_stdio
from spindle_spi.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.connections.base import Endpoint, Upstream
    from spindle_mcp.upstream.connections.legacy import LegacyUpstream
    from spindle_spi.records import GatewaySpec
    from spindle_spi.types import JsonObject


@asynccontextmanager
async def open_builtin() -> AsyncGenerator[Upstream]:
    """Open the gateway that lives in this process."""
    yield DemoUpstream()


@asynccontextmanager
async def open_upstream(spec: GatewaySpec, endpoint: Endpoint) -> AsyncGenerator[Upstream]:
    """Open a connection; enter and leave this in one task.

    Raises:
        GatewayError: The upstream cannot be reached, or does not speak the protocol.
    """
    match spec.transport:
        case "builtin":
            opening = open_builtin()
        case "streamable_http":
            opening = _open_http(spec, endpoint)
        case "sse":
            opening = open_legacy(endpoint, sse_streams(endpoint))
        case "openapi":
            opening = open_openapi(spec, endpoint)
        case "stdio" if endpoint.program is not None:
            opening = open_stdio(spec.era, endpoint, endpoint.program)
        case _:
            raise FailedPrecondition(
                f"The transport {spec.transport!r} is not supported.", code="mcp.gateway.transport"
            )

    async with opening as upstream:
        yield upstream


@asynccontextmanager
async def _open_http(spec: GatewaySpec, endpoint: Endpoint) -> AsyncGenerator[Upstream]:
    if spec.era != "legacy":
        async with open_modern(endpoint) as modern:
            if await speaks_modern(modern.discover, endpoint, is_given=spec.era == "modern"):
                yield modern
                return

    async with open_legacy(endpoint) as legacy:
        yield legacy


@asynccontextmanager
async def open_own(
    spec: GatewaySpec, endpoint: Endpoint, offered: JsonObject
) -> AsyncGenerator[LegacyUpstream]:
    """Open a session of a legacy upstream for one client, which can do what is offered.

    Raises:
        GatewayError: The upstream cannot be reached, or does not shake hands.
    """
    match spec.transport:
        case "stdio" if endpoint.program is not None:
            opening = open_own_program(endpoint, endpoint.program, offered)
        case "sse":
            opening = open_legacy(endpoint, sse_streams(endpoint), offered=offered)
        case _:
            opening = open_legacy(endpoint, offered=offered)

    async with opening as own:
        yield own
