"""Which grant a gateway's tokens are got by."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spindle_mcp.upstream.connections.base import CLIENT_NAME
from spindle_mcp.upstream.credentials.discovery import Discovery
from spindle_mcp.upstream.credentials.exchange import ExchangedTokens
from spindle_mcp.upstream.credentials.machine import MachineTokens, OAuth
from spindle_mcp.upstream.credentials.people import PersonalTokens
from spindle_mcp.upstream.credentials.resource import posted_knock, streamed_knock

if TYPE_CHECKING:
    from spindle_mcp.upstream.credentials.source import HeaderSource
    from spindle_mcp.upstream.credentials.transport import Judge
    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.gateway_auth import GatewayAuth
    from spindle_spi.records import CatalogRecord, GatewaySpec
    from spindle_spi.types import JsonObject


def oauth_headers(  # noqa: PLR0913 - what a source is made of
    record: CatalogRecord,
    spec: GatewaySpec,
    auth: GatewayAuth,
    *,
    fixed: HeaderSource,
    secrets: ConfigSecretsService,
    judge: Judge,
    version: str,
) -> HeaderSource:
    """Return the source of a gateway's tokens, with the fixed headers beside them."""
    url = spec.url or ""
    us: JsonObject = {"name": CLIENT_NAME, "version": version}
    is_streamed = spec.transport == "sse"
    knock = partial(streamed_knock, url) if is_streamed else partial(posted_knock, url, us)
    oauth = OAuth(
        record.name,
        url,
        auth,
        secrets=secrets,
        discovery=Discovery(url, auth, judge, knock),
        judge=judge,
    )

    match auth.type:
        case "authorization_code":
            has_credential = spec.credential is not None
            return PersonalTokens(record, oauth, fixed, has_credential=has_credential)
        case "token_exchange":
            return ExchangedTokens(oauth, fixed)
        case _:
            return MachineTokens(oauth, fixed)
