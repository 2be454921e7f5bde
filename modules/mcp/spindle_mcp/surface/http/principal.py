"""Who a session belongs to, as the SDK compares it: a credential on an endpoint, and no other."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from spindle_mcp.surface.sessions import owner_of

if TYPE_CHECKING:
    from spindle_mcp.surface.exchange import Asked


def principal_of(asked: Asked) -> AuthenticatedUser:
    """Return the owner of the sessions that somebody opens."""
    return _principal(*owner_of(asked))


@lru_cache(maxsize=1024)
def _principal(token_id: str | None, slug: str | None) -> AuthenticatedUser:
    client_id = token_id if token_id is not None else f"anonymous:{slug or ''}"
    return AuthenticatedUser(
        AccessToken(token="", client_id=client_id, scopes=[], subject=slug or "")
    )
