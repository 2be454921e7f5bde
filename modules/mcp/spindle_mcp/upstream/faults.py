"""How upstreams fail, in the terms of the one error tree. What they said stays with us."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from mcp_types.jsonrpc import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    URL_ELICITATION_REQUIRED,
)

from spindle_mcp.upstream.programs.launcher import CANNOT_START
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    InvalidArgument,
    NotFound,
    Origin,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_LONGEST_WAIT = 3600.0
_RESOURCE_NOT_FOUND = -32002
"""The protocol's own code for it, before 2026."""


class Unreachable(UpstreamError):
    """No connection, or it broke; whether the upstream acted on the request is unknown."""

    default_code = "mcp.upstream.unreachable"


class ProgramEnded(Unreachable):
    """The program of a gateway has ended; whether it acted on the request is unknown."""

    default_code = "mcp.upstream.ended"

    def __init__(self, gateway: str, status: int | None) -> None:
        super().__init__(f"The program of the gateway {gateway!r} {_end_of(status)}.")
        self.status = status


class TooLong(UpstreamError):
    """An answer is longer than is taken."""

    default_code = "mcp.upstream.invalid_answer"


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


class LinksRequired(FailedPrecondition):
    """Somebody has to visit some pages before anything is done: for the upstream, or for us."""

    default_code = "mcp.links_required"

    def __init__(
        self,
        gateway: str,
        links: list[JsonObject],
        *,
        message: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(
            message or f"The gateway {gateway!r} asks for a page to be visited first.",
            code=code,
            origin=Origin.UPSTREAM if message is None else Origin.MODULE,
        )
        self.gateway = gateway
        self.links = links
        """The parameters of `elicitation/create` of each, as the protocol before 2026 has them."""


class ResourceMissing(NotFound):
    """The upstream has no resource of that URI."""

    default_code = "mcp.upstream.resource_not_found"


def explained(refused: RpcRefused) -> GatewayError:
    """Return what an upstream's JSON-RPC error means to who asked for something of it."""
    if _is_resource_missing(refused):
        return ResourceMissing("There is no such resource.", origin=Origin.UPSTREAM)

    links = _links_in(refused)

    if links:
        return LinksRequired(refused.gateway, links)

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


def _links_in(refused: RpcRefused) -> list[JsonObject]:
    data = refused.data
    found = data.get("elicitations") if isinstance(data, dict) else None

    if refused.rpc_code != URL_ELICITATION_REQUIRED or not isinstance(found, list):
        return []

    return [link for link in found if isinstance(link, dict) and link.get("mode") == "url"]


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


def ended(gateway: str, status: int | None) -> ProgramEnded:
    """Return the error for a program that is no more; a negative status is a signal's."""
    return ProgramEnded(gateway, status)


def too_slow(gateway: str) -> UpstreamTimeout:
    """Return the error for an upstream that stayed silent."""
    return UpstreamTimeout(f"The gateway {gateway!r} did not answer in time.")


def too_long(gateway: str) -> TooLong:
    """Return the error for an answer beyond the bound."""
    return TooLong(
        f"The gateway {gateway!r} answered with more than is taken from an upstream.",
        retryable=False,
    )


def no_messages(gateway: str) -> UpstreamError:
    """Return the error for an upstream that writes no messages at all."""
    return garbled(gateway, "nothing but what is no MCP message")


def garbled(gateway: str, what: str) -> UpstreamError:
    """Return the error for an answer that is not what the protocol says."""
    return UpstreamError(
        f"The gateway {gateway!r} answered with {what}.",
        code="mcp.upstream.invalid_answer",
        retryable=False,
    )


def _end_of(status: int | None) -> str:
    if status is None:
        return "has closed its output"

    if status == CANNOT_START:
        return "cannot be started; its error output in the log says why"

    return f"was ended by signal {-status}" if status < 0 else f"has ended with status {status}"


def innermost(exc: Exception) -> Exception:
    """Return what a task group wrapped."""
    while _is_group(exc):
        exc = exc.exceptions[0]

    return exc


def _is_group(exc: Exception) -> TypeGuard[ExceptionGroup[Exception]]:
    return isinstance(exc, ExceptionGroup)


def _is_resource_missing(refused: RpcRefused) -> bool:
    names_uri = isinstance(refused.data, dict) and "uri" in refused.data
    is_modern = refused.rpc_code == INVALID_PARAMS and names_uri
    return is_modern or refused.rpc_code == _RESOURCE_NOT_FOUND


def _seconds(value: str | None) -> float | None:
    if value is None or not value.isascii() or not value.isdigit():
        return None

    return min(float(value), _LONGEST_WAIT)
