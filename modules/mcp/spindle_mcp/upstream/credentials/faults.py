"""How getting a token fails. What an authorization server said stays with us."""

from __future__ import annotations

from typing import Final

from spindle_spi.errors import FailedPrecondition, Origin, UpstreamError

_KNOWN: Final = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"),
        *("unsupported_grant_type", "invalid_scope", "invalid_target", "access_denied"),
        *("server_error", "temporarily_unavailable"),
    }
)
"""Error codes of the standards, which may be shown; other words are the server's own."""


class ServerFailed(Exception):
    """The authorization server gave nothing usable; the reason may be shown, its words are not."""

    def __init__(self, reason: str, error: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        """The standard's code of its refusal, if it is one."""


class AuthorizationRequired(FailedPrecondition):
    """A person has to let a gateway act for them first, or further than they did."""

    default_code = "mcp.gateway.authorization_required"

    def __init__(self, need: str, url: str) -> None:
        super().__init__(f"{need}: open {url} as yourself, then call again.")
        self.need = need
        self.url = url


def refusal(error: object) -> ServerFailed:
    """Return the failure that an OAuth error stands for."""
    if isinstance(error, str) and error in _KNOWN:
        return ServerFailed(f"it answered {error}", error)

    return ServerFailed("it refused")


def no_token(gateway: str, failed: ServerFailed) -> UpstreamError:
    """Return what a caller is told who needed a token that could not be had."""
    return UpstreamError(
        f"The gateway {gateway!r} got no token from its authorization server: {failed.reason}.",
        code="mcp.upstream.no_token",
        retryable=failed.error in ("", "server_error", "temporarily_unavailable"),
    )


def nobody(gateway: str) -> FailedPrecondition:
    """Return what a caller without a person is told."""
    return FailedPrecondition(
        f"The gateway {gateway!r} acts for persons: call it with a token that belongs to one.",
        code="mcp.gateway.person_required",
        origin=Origin.CLIENT,
    )


def too_narrow(gateway: str, how: str | None = None) -> UpstreamError:
    """Return what a caller is told whose token lacks a scope, and `how` it may come to it."""
    return UpstreamError(
        f"The upstream of the gateway {gateway!r} wants a scope that its token does not have. "
        + (how or "An administrator can have it asked for: auth.scopes of the gateway."),
        code="mcp.upstream.insufficient_scope",
        retryable=False,
    )


def unauthorized(
    gateway: str, public_url: str | None, *, is_wider: bool = False
) -> AuthorizationRequired:
    """Return what a person is told who has not let the gateway act for them, or not that far."""
    what = "a wider authorisation of yours" if is_wider else "your authorisation"
    need = f"The gateway {gateway!r} needs {what}"
    return AuthorizationRequired(need, consent_url(gateway, public_url))


def consent_url(gateway: str, public_url: str | None) -> str:
    """Return where a person lets a gateway act for them."""
    return f"{public_url or ''}/mcp/authorize/{gateway}"
