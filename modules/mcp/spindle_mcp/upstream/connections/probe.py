"""Finds out whether an upstream speaks the current protocol, by one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types.jsonrpc import UNSUPPORTED_PROTOCOL_VERSION

from spindle_mcp.eras import MODERN
from spindle_mcp.upstream.faults import HttpRefused, RpcRefused, garbled
from spindle_spi.errors import UpstreamError, UpstreamTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_spi.types import Json, JsonObject

    Discover = Callable[[], Awaitable[JsonObject]]


async def speaks_modern(discover: Discover, endpoint: Endpoint, *, is_given: bool) -> bool:
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
