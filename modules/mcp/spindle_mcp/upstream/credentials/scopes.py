"""Which scopes a person is asked for, and what an upstream wants beside those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_mcp.upstream.credentials.discovery import Server
    from spindle_mcp.upstream.credentials.grants import Grant
    from spindle_spi.gateway_auth import GatewayAuth

OFFLINE: Final = "offline_access"
"""The scope that refresh tokens are asked for by."""
_MOST: Final = 100


def scopes_for(auth: GatewayAuth, server: Server, grant: Grant | None) -> tuple[str, ...]:
    """Return what a person is asked for: what the record says, else what the upstream wants.

    What a grant was asked for, or fell short of, is asked for again: nothing that works now may
    stop working.
    """
    if auth.scopes:
        return auth.scopes

    before = "" if grant is None else f"{grant.asked} {grant.needed}"
    scopes = united(server.scopes, before.split())

    # Alone it would stand in place of what the server gives to who asks for nothing.
    return united(scopes, (OFFLINE,)) if scopes and server.has_offline else scopes


def lacking(auth: GatewayAuth, grant: Grant, wanted: tuple[str, ...]) -> str | None:
    """Return what a person may be asked for beside what they were, for an upstream's sake.

    None: what it wants was asked for already, or is not for the upstream to say.
    """
    asked = grant.asked.split()

    if auth.scopes or not set(wanted) - set(asked):
        return None

    return " ".join(scope for scope in united(grant.needed.split(), wanted) if scope not in asked)


def united(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of both in order, each once; an upstream cannot make it long."""
    return tuple(dict.fromkeys((*one, *other)))[:_MOST]
