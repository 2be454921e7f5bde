"""How the host is known outside, from what the configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.config_secrets import Deployment

if TYPE_CHECKING:
    from spindle.config.settings import Settings

_URLS = ("https://", "http://")


def deployment_of(settings: Settings) -> Deployment:
    """Return what modules may know of how the host is reached, and of who vouches for callers."""
    auth = settings.auth
    return Deployment(
        public_url=settings.server.public_url,
        # Others than URLs are no servers anybody could ask for a token.
        identity_providers=tuple(
            dict.fromkeys(entry.issuer for entry in auth.jwt if entry.issuer.startswith(_URLS))
        ),
        scopes=auth.resource_scopes,
    )
