"""Which grant a gateway's tokens are got by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_mcp.upstream.credentials.discovery import Discovery
from spindle_mcp.upstream.credentials.machine import MachineTokens, OAuth

if TYPE_CHECKING:
    from spindle_mcp.upstream.credentials.source import HeaderSource
    from spindle_mcp.upstream.credentials.transport import Judge
    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.gateway_auth import GatewayAuth
    from spindle_spi.records import CatalogRecord, GatewaySpec


def oauth_headers(
    record: CatalogRecord,
    spec: GatewaySpec,
    auth: GatewayAuth,
    *,
    fixed: HeaderSource,
    secrets: ConfigSecretsService,
    judge: Judge,
) -> HeaderSource:
    """Return the source of a gateway's tokens, with the fixed headers beside them."""
    url = spec.url or ""
    oauth = OAuth(
        record.name,
        url,
        auth,
        secrets=secrets,
        discovery=Discovery(url, auth, judge),
        judge=judge,
    )
    return MachineTokens(oauth, fixed)
