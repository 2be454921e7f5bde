"""Opens the right kind of connection to a gateway's upstream, whichever era it speaks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mcp_types.jsonrpc import UNSUPPORTED_PROTOCOL_VERSION

from spindle_mcp.demo import DemoUpstream
from spindle_mcp.eras import MODERN
from spindle_mcp.upstream.faults import HttpRefused, RpcRefused, garbled
from spindle_mcp.upstream.legacy import open_legacy
from spindle_mcp.upstream.modern import open_modern
from spindle_mcp.upstream.openapi.upstream import open_openapi
from spindle_spi.errors import FailedPrecondition, UpstreamError, UpstreamTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from spindle_mcp.upstream.base import Endpoint, Upstream
    from spindle_spi.records import GatewaySpec
    from spindle_spi.types import Json, JsonObject

    Discover = Callable[[], Awaitable[JsonObject]]


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
    if spec.transport == "builtin":
        async with open_builtin() as upstream:
            yield upstream

        return

    if spec.transport == "openapi":
        async with open_openapi(spec, endpoint) as rest:
            yield rest

        return

    if spec.transport != "streamable_http" or spec.url is None:
        raise FailedPrecondition(
            f"The transport {spec.transport!r} is not supported yet.",
            code="mcp.gateway.transport",
        )

    if spec.era != "legacy":
        async with open_modern(endpoint) as modern:
            if await _speaks_modern(modern.discover, endpoint, is_given=spec.era == "modern"):
                yield modern
                return

    async with open_legacy(endpoint) as legacy:
        yield legacy


async def _speaks_modern(discover: Discover, endpoint: Endpoint, *, is_given: bool) -> bool:
    """Ask once. An outage says nothing of the era and is raised, as is a refused credential."""
    try:
        found = await discover()
    except RpcRefused as exc:
        if is_given or _offers_nothing_older(exc):
            raise

        return False
    except UpstreamError as exc:
        is_verdict = isinstance(exc, HttpRefused | UpstreamTimeout) or exc.code == _GARBLED

        if is_given or not is_verdict:
            raise

        return False

    versions = found.get("supportedVersions")

    if isinstance(versions, list) and MODERN in versions:
        return True

    if is_given:
        raise garbled(endpoint.gateway, f"no word on speaking {MODERN}")

    return False


_GARBLED = garbled("", "").code


def _offers_nothing_older(refused: RpcRefused) -> bool:
    supported = refused.data.get("supported") if isinstance(refused.data, dict) else None
    is_version_error = refused.rpc_code == UNSUPPORTED_PROTOCOL_VERSION
    return is_version_error and isinstance(supported, list) and not any(map(_is_older, supported))


def _is_older(version: Json) -> bool:
    return isinstance(version, str) and version < MODERN
