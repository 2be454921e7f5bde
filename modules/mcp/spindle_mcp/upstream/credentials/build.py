"""The source of a gateway's headers, as its record says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spindle_mcp.upstream.credentials.source import HeaderSource, StaticHeaders
from spindle_spi.gateway_auth import HEADERS

if TYPE_CHECKING:
    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.records import CatalogRecord, GatewaySpec


def headers_of(
    record: CatalogRecord, spec: GatewaySpec, secrets: ConfigSecretsService, version: str
) -> HeaderSource | None:
    """Return where the headers of a gateway come from; None where it shows none of its own.

    `version` is ours, as the upstream is told it.
    """
    auth = spec.auth

    if auth is None:
        return None

    fixed = StaticHeaders(record.name, auth.headers, secrets)

    if auth.type == HEADERS:
        return fixed

    # authlib is not imported where nobody needs a token.
    from spindle_mcp.upstream.credentials.oauth import oauth_headers

    judge = partial(secrets.address_for, gateway=record.name)
    return oauth_headers(
        record, spec, auth, fixed=fixed, secrets=secrets, judge=judge, version=version
    )
