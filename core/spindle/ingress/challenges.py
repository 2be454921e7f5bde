"""What a client that is refused is told of how it may come in: RFC 6750 with RFC 9728."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_spi.errors import PermissionDenied

if TYPE_CHECKING:
    from spindle.ingress.requests import Headers
    from spindle_spi.errors import GatewayError
    from spindle_spi.ingress import Challenge
    from spindle_spi.types import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """What there is to tell where an identity provider vouches for callers."""

    public_url: str | None = None
    scopes: tuple[str, ...] | None = None
    """What clients ask the provider for; None is the permissions they need."""


def challenge_header(
    advertised: Advertised,
    challenge: Challenge,
    error: GatewayError,
    scope: Scope,
    headers: Headers,
) -> bytes | None:
    """Return `WWW-Authenticate` for an error; None where a token would change nothing."""
    is_denied = isinstance(error, PermissionDenied)

    # Other refusals of that status are of the request's place, not of what its token is worth.
    if error.http_status not in (401, 403) or (
        is_denied and error.code != PermissionDenied.default_code
    ):
        return None

    base = advertised.public_url or _base_of(scope, headers)
    parts = [f'resource_metadata="{base}{challenge.metadata}{_quoted(scope["path"])}"']
    scopes = challenge.scopes if advertised.scopes is None else advertised.scopes

    if scopes:
        parts.append(f'scope="{" ".join(scopes)}"')

    if is_denied:
        parts.insert(0, 'error="insufficient_scope"')
    elif b"authorization" in headers:
        parts.insert(0, 'error="invalid_token"')

    return f'Bearer realm="spindle", {", ".join(parts)}'.encode("latin-1", "replace")


def _base_of(scope: Scope, headers: Headers) -> str:
    host = headers.get(b"host", b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{_quoted(host)}"


def _quoted(text: str) -> str:
    """Return a part of a URL as it can stand in a quoted string."""
    return "".join(c if c.isalnum() and c.isascii() or c in "-._~/:[]@" else "-" for c in text)
