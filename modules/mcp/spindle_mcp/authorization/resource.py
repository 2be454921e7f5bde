"""Protected-resource metadata (RFC 9728) of our endpoints.

The same answer for every server's name: who may not see a server learns nothing of it here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from spindle_mcp.authorization.answers import base_of, nothing_at, send_json
from spindle_mcp.authorization.documentation import metadata_said
from spindle_spi.ingress import PUBLIC, Challenge, IngressRoute
from spindle_spi.shapes import ENVELOPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.config_secrets import Deployment
    from spindle_spi.ingress import Call
    from spindle_spi.types import Json, Receive, Scope, Send

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
SCOPES: Final = ("servers.use", "tools.read", "tools.execute")
"""Permissions that an endpoint's client needs."""
CHALLENGE: Final = Challenge(metadata=WELL_KNOWN, scopes=SCOPES)
ROOT: Final = "/mcp"
_ENDS: Final = (ROOT, "/sse")

_SLUG = re.compile(r"[A-Za-z0-9._~-]{1,200}")

Known = Callable[[], Awaitable[tuple["Deployment", bool]]]
"""Returns how the host is known outside, and whether the root of the well-known path answers."""


def metadata_routes(known: Known) -> Iterator[IngressRoute]:
    """Return the public routes of the metadata."""
    for path in ("", *(f"{prefix}{end}" for prefix in ("", "/servers/{slug}") for end in _ENDS)):
        yield IngressRoute(
            method="GET",
            path=f"{WELL_KNOWN}{path}",
            permission=PUBLIC,
            handler=partial(_tell, known),
            errors=ENVELOPE,
            operation=metadata_said,
        )


async def _tell(known: Known, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    del receive, call
    deployment, has_root = await known()
    path = scope["path"].removeprefix(WELL_KNOWN)
    slug = scope.get("path_params", {}).get("slug", "mcp")

    # Without an identity provider there is nobody to send clients to: they have a token, or not.
    if not deployment.identity_providers or not (path or has_root) or not _SLUG.fullmatch(slug):
        raise nothing_at(scope)

    servers: list[Json] = [*deployment.identity_providers]
    scopes: list[Json] = [*(SCOPES if deployment.scopes is None else deployment.scopes)]
    said: dict[str, Json] = {
        "resource": f"{base_of(scope, deployment)}{path or ROOT}",
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
        "resource_name": "Spindle",
    }

    if scopes:
        said["scopes_supported"] = scopes

    await send_json(send, said)
