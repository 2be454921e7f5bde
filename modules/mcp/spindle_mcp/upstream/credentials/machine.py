"""Tokens of the gateway itself: the client credentials grant."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.credentials.client import Client, SigningKey, request_token, revoke_token
from spindle_mcp.upstream.credentials.faults import ServerFailed, no_token, too_narrow
from spindle_mcp.upstream.credentials.source import HeaderSource
from spindle_mcp.upstream.credentials.tokens import Token, TokenCache, token_of
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spindle_mcp.upstream.credentials.challenge import Refusal
    from spindle_mcp.upstream.credentials.discovery import Discovery, Server
    from spindle_mcp.upstream.credentials.grants import Grant
    from spindle_mcp.upstream.credentials.transport import Judge
    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.gateway_auth import GatewayAuth

AUTHORIZATION: Final = "authorization"
_BEARER: Final = "Bearer "
_OURS: Final = ""
"""The key of the gateway's own token; persons have addresses."""


class OAuth:
    """What every kind of token of one gateway is asked for with."""

    def __init__(
        self,
        gateway: str,
        url: str,
        auth: GatewayAuth,
        *,
        secrets: ConfigSecretsService,
        discovery: Discovery,
        judge: Judge,
    ) -> None:
        self.gateway = gateway
        self.url = url
        self.auth = auth
        self.secrets = secrets
        self.discovery = discovery
        self.judge = judge

    async def client(self, server: Server) -> Client:
        """Return what an authorization server knows us by, with its secrets as they are now.

        Raises:
            GatewayError: A secret has no value; says where it was looked for.
        """
        auth = self.auth
        secret = (
            None if auth.client_secret is None else await self.secrets.secret(auth.client_secret)
        )
        key = None if auth.client_key is None else await self.secrets.secret(auth.client_key)
        client = Client(
            id=auth.client_id or "",
            method=auth.client_auth,
            secret=secret,
            key=None
            if key is None
            else SigningKey(secret=key, algorithm=auth.key_algorithm, key_id=auth.key_id),
            audience=server.issuer,
        )
        return client.as_taken(server.methods)

    def wanted(self, server: Server) -> dict[str, str]:
        """Return what is asked for, whatever the grant."""
        return self.wanted_with(self.auth.scopes or server.scopes, server)

    def wanted_with(self, scopes: Iterable[str], server: Server) -> dict[str, str]:
        """Return what is asked for with some scopes; none asks for what the server thinks."""
        return filled(
            scope=" ".join(scopes), audience=self.auth.audience, resource=self.resource(server)
        )

    def resource(self, server: Server) -> str | None:
        """Return what a token is said to be for (RFC 8707): the upstream, by its own name."""
        auth = self.auth
        return (auth.resource or server.resource or self.url) if auth.send_resource else None

    async def revoke(self, grant: Grant) -> None:
        """Tell the server that a grant is over; whether it listens changes nothing here."""
        try:
            server = await self.discovery.server()

            if server.revocation_url is None or not grant.is_of(self.url, server):
                return

            client = grant.client(await self.client(server))
            token = grant.refresh_token or grant.access_token
            await revoke_token(self.judge, server.revocation_url, client, token)
        except (ServerFailed, GatewayError):
            return

    async def client_credentials(self) -> Token:
        """Return a token of the gateway itself.

        Raises:
            ServerFailed: There is none.
        """
        server = await self.discovery.server()
        answer = await request_token(
            self.judge,
            server.token_url,
            await self.client(server),
            "client_credentials",
            self.wanted(server),
        )
        return token_of(answer, time.time())


class MachineTokens(HeaderSource):
    """The same token for every caller."""

    def __init__(self, oauth: OAuth, fixed: HeaderSource) -> None:
        self._oauth = oauth
        self._fixed = fixed
        self._tokens = TokenCache()

    async def headers(self, caller: AuthenticatedContext | None) -> Mapping[str, str]:
        """See `HeaderSource`."""
        token = await self._tokens.get(_OURS, self._fetch)
        return {**await self._fixed.headers(caller), **bearer(token)}

    async def refused(
        self, caller: AuthenticatedContext | None, sent: Mapping[str, str], refusal: Refusal
    ) -> bool:
        """See `HeaderSource`: the token is dropped once, unless it has been replaced."""
        if refusal.is_about_scope:
            raise too_narrow(self._oauth.gateway)

        self._tokens.drop(_OURS, value_sent(sent))
        return True

    async def _fetch(self) -> Token:
        try:
            return await self._oauth.client_credentials()
        except ServerFailed as exc:
            raise no_token(self._oauth.gateway, exc) from exc


def bearer(token: Token) -> dict[str, str]:
    """Return the header a token is sent in."""
    return {AUTHORIZATION: f"{_BEARER}{token.secret.reveal()}"}


def value_sent(sent: Mapping[str, str]) -> str:
    """Return the token that was sent."""
    return sent.get(AUTHORIZATION, "").removeprefix(_BEARER)


def filled(**parameters: str | None) -> dict[str, str]:
    """Return the parameters that say something."""
    return {name: value for name, value in parameters.items() if value}
