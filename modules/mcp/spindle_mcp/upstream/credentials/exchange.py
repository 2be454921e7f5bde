"""Token exchange (RFC 8693): our own signed word on who calls, for a token of theirs upstream.

The caller's own token is never shown to anybody: the subject token is made here, for a minute.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.credentials.client import SigningKey, request_token, signed
from spindle_mcp.upstream.credentials.faults import ServerFailed, no_token, nobody, too_narrow
from spindle_mcp.upstream.credentials.machine import bearer, value_sent
from spindle_mcp.upstream.credentials.source import HeaderSource
from spindle_mcp.upstream.credentials.tokens import Token, TokenCache, token_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.upstream.credentials.challenge import Refusal
    from spindle_mcp.upstream.credentials.machine import OAuth
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_ACCESS: Final = "urn:ietf:params:oauth:token-type:access_token"
_OURS: Final = ""
"""The key of the gateway's own token; persons have addresses."""


class ExchangedTokens(HeaderSource):
    """A token for each person; lists are read with the gateway's own (client credentials)."""

    is_personal = True

    def __init__(self, oauth: OAuth, fixed: HeaderSource) -> None:
        self._oauth = oauth
        self._fixed = fixed
        self._tokens = TokenCache()

    async def headers(self, caller: AuthenticatedContext | None) -> Mapping[str, str]:
        """See `HeaderSource`."""
        owner = self._owner(caller)
        token = await self._tokens.get(owner, partial(self._fetch, owner))
        return {**await self._fixed.headers(caller), **bearer(token)}

    async def refused(
        self, caller: AuthenticatedContext | None, sent: Mapping[str, str], refusal: Refusal
    ) -> bool:
        """See `HeaderSource`: the token is dropped once, unless it has been replaced."""
        if refusal.is_about_scope:
            raise too_narrow(self._oauth.gateway)

        self._tokens.drop(self._owner(caller), value_sent(sent))
        return True

    def _owner(self, caller: AuthenticatedContext | None) -> str:
        if caller is None:
            return _OURS

        if caller.subject.user_email is None:
            raise nobody(self._oauth.gateway)

        return caller.subject.user_email.lower()

    async def _fetch(self, owner: str) -> Token:
        try:
            if owner == _OURS:
                return await self._oauth.client_credentials()

            return await self._exchanged(owner)
        except ServerFailed as exc:
            raise no_token(self._oauth.gateway, exc) from exc

    async def _exchanged(self, owner: str) -> Token:
        server = await self._oauth.discovery.server()
        client = await self._oauth.client(server)
        answer = await request_token(
            self._oauth.judge,
            server.token_url,
            client,
            _GRANT,
            {
                "subject_token": await self._subject(
                    owner, client.id, server.issuer or server.token_url
                ),
                "subject_token_type": _JWT,
                "requested_token_type": _ACCESS,
                **self._oauth.wanted(server),
            },
        )
        return token_of(answer, time.time())

    async def _subject(self, owner: str, client_id: str, audience: str) -> str:
        """Return our word on a person, for one authorization server."""
        auth = self._oauth.auth

        if auth.subject_key is None:
            raise ServerFailed("we have no key to say with who calls")

        key = SigningKey(
            secret=await self._oauth.secrets.secret(auth.subject_key),
            algorithm=auth.key_algorithm,
            key_id=auth.key_id,
        )
        deployment = await self._oauth.secrets.deployment()
        claims: JsonObject = {
            "iss": deployment.public_url or client_id,
            "sub": owner,
            "email": owner,
            "aud": audience,
        }
        return signed(key, claims)
