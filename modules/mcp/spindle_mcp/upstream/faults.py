"""How upstreams fail, in the terms of the one error tree. What they said stays with us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types.jsonrpc import INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY

from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    InvalidArgument,
    Origin,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_LONGEST_WAIT = 3600.0


class Unreachable(UpstreamError):
    """No connection, or it broke; whether the upstream acted on the request is unknown."""

    default_code = "mcp.upstream.unreachable"


class SessionLost(UpstreamError):
    """The upstream does not know our session any more and has done nothing with the request."""

    default_code = "mcp.upstream.session_lost"


class RpcRefused(UpstreamError):
    """The upstream answered with a JSON-RPC error."""

    default_code = "mcp.upstream.protocol_error"

    def __init__(self, gateway: str, rpc_code: int, data: Json = None) -> None:
        super().__init__(
            f"The gateway {gateway!r} answered with the protocol error {rpc_code}.",
            retryable=False,
        )
        self.gateway = gateway
        self.rpc_code = rpc_code
        self.data = data


class HttpRefused(UpstreamError):
    """The upstream answered with an HTTP status instead of a JSON-RPC message."""

    default_code = "mcp.upstream.http_error"

    def __init__(self, gateway: str, status: int) -> None:
        super().__init__(
            f"The gateway {gateway!r} answered with the HTTP status {status}.",
            retryable=status >= 500,
        )
        self.status = status


class CapabilityRequired(FailedPrecondition):
    """The tool needs a client capability that is not relayed to upstreams."""

    default_code = "mcp.capability_required"

    def __init__(self, message: str, required: JsonObject) -> None:
        super().__init__(message, origin=Origin.UPSTREAM)
        self.required = required


def explained(refused: RpcRefused) -> GatewayError:
    """Return what an upstream's JSON-RPC error means to who called one of its tools."""
    if refused.rpc_code == INVALID_PARAMS:
        return InvalidArgument(
            f"The gateway {refused.gateway!r} did not accept the parameters of the call.",
            code="mcp.upstream.invalid_params",
            origin=Origin.UPSTREAM,
        )

    if refused.rpc_code == MISSING_REQUIRED_CLIENT_CAPABILITY:
        data = refused.data
        required = data.get("requiredCapabilities") if isinstance(data, dict) else None
        return CapabilityRequired(
            "The tool needs a capability of the client.",
            required if isinstance(required, dict) else {},
        )

    return refused


def refused_by_status(gateway: str, status: int, retry_after: str | None) -> GatewayError:
    """Return the error for an HTTP status that came without a JSON-RPC message."""
    if status in (401, 403):
        return UpstreamError(
            f"The gateway {gateway!r} refused our credential.",
            code="mcp.upstream.credential_refused",
            retryable=False,
        )

    if status == 429:
        wait = _seconds(retry_after)
        # A JSON-RPC error has no header for it.
        when = "" if wait is None else f" Try again in {wait:g} seconds."
        return RateLimited(
            f"The gateway {gateway!r} asks us to slow down.{when}",
            code="mcp.upstream.rate_limited",
            origin=Origin.UPSTREAM,
            retry_after=wait,
        )

    return HttpRefused(gateway, status)


def unreachable(gateway: str) -> Unreachable:
    """Return the error for a connection that could not be made or broke."""
    return Unreachable(f"The gateway {gateway!r} cannot be reached, or broke the connection.")


def too_slow(gateway: str) -> UpstreamTimeout:
    """Return the error for an upstream that stayed silent."""
    return UpstreamTimeout(f"The gateway {gateway!r} did not answer in time.")


def garbled(gateway: str, what: str) -> UpstreamError:
    """Return the error for an answer that is not what the protocol says."""
    return UpstreamError(
        f"The gateway {gateway!r} answered with {what}.",
        code="mcp.upstream.invalid_answer",
        retryable=False,
    )


def _seconds(value: str | None) -> float | None:
    if value is None or not value.isascii() or not value.isdigit():
        return None

    return min(float(value), _LONGEST_WAIT)
