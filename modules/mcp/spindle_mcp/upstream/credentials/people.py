"""Tokens of persons: each caller is shown to the upstream as who they let the gateway be."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.upstream.credentials.client import request_token
from spindle_mcp.upstream.credentials.faults import (
    ServerFailed,
    consent_url,
    no_token,
    nobody,
    too_narrow,
    unauthorized,
)
from spindle_mcp.upstream.credentials.grants import Grant, grant_name, read_grant
from spindle_mcp.upstream.credentials.machine import bearer, filled, value_sent
from spindle_mcp.upstream.credentials.registration import Registration
from spindle_mcp.upstream.credentials.scopes import lacking
from spindle_mcp.upstream.credentials.source import HeaderSource
from spindle_mcp.upstream.credentials.tokens import Token, TokenCache
from spindle_spi.errors import Conflict
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.upstream.credentials.challenge import Refusal
    from spindle_mcp.upstream.credentials.faults import AuthorizationRequired
    from spindle_mcp.upstream.credentials.machine import OAuth
    from spindle_spi.config_secrets import KeptSecret
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord

_KEPT_SECONDS: Final = 60.0
"""How long a token is used before what is kept is looked at again: it may have been revoked."""
_MOST_REFUSED: Final = 1000


class PersonalTokens(HeaderSource):
    """Tokens of the authorization code grant, refreshed before they end.

    Lists are read with the gateway's credential if it has one, else with the newest grant: the
    list alone, never a call.
    """

    is_personal = True

    def __init__(
        self, record: CatalogRecord, oauth: OAuth, fixed: HeaderSource, *, has_credential: bool
    ) -> None:
        self.record = record
        self.oauth = oauth
        self._name = grant_name(record)
        self.registration = Registration(oauth)
        self._fixed = fixed
        self._has_credential = has_credential
        self._tokens = TokenCache()
        self._refused: OrderedDict[str, str] = OrderedDict()
        """By person, the token an upstream refused."""

    async def headers(self, caller: AuthenticatedContext | None) -> Mapping[str, str]:
        """See `HeaderSource`.

        Raises:
            AuthorizationRequired: The person has not let the gateway act for them; says where to.
        """
        fixed = await self._fixed.headers(caller)

        if caller is None and self._has_credential:
            return fixed

        owner = await self._owner(caller)
        token = await self._tokens.get(owner, partial(self._current, owner))
        return {**fixed, **bearer(token)}

    async def refused(
        self, caller: AuthenticatedContext | None, sent: Mapping[str, str], refusal: Refusal
    ) -> bool:
        """See `HeaderSource`: the token is refreshed, unless it has been already.

        Raises:
            AuthorizationRequired: The person has to agree to more than they have; says where.
            UpstreamError: It wants what the person was asked for already, or may not be asked.
        """
        if caller is None and self._has_credential:
            return False

        owner = await self._owner(caller)

        if refusal.is_about_scope:
            return await self._widen(owner, value_sent(sent), refusal.scopes)

        self.oauth.discovery.doubt()
        self._refused[owner] = value_sent(sent)
        self._refused.move_to_end(owner)
        self._tokens.drop(owner, value_sent(sent))

        if len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)

        return True

    def forget(self, owner: str) -> None:
        """Look at what is kept before the next request of a person."""
        self._tokens.drop(owner.lower())

    async def _owner(self, caller: AuthenticatedContext | None) -> str:
        if caller is not None:
            if caller.subject.user_email is None:
                raise nobody(self.record.name)

            return caller.subject.user_email.lower()

        newest = await self.oauth.secrets.newest_kept(self._name)

        if newest is None:
            raise await self._unauthorized()

        return newest.owner

    async def _widen(self, owner: str, shown: str, wanted: tuple[str, ...]) -> bool:
        """Have a person asked for more, unless they have agreed to more since."""
        kept, grant = await self._granted(owner)

        if grant.access_token != shown:
            self._tokens.drop(owner, shown)
            return True

        needed = lacking(self.oauth.auth, grant, wanted)
        deployment = await self.oauth.secrets.deployment()

        if needed is None:
            where = consent_url(self.record.name, deployment.public_url)
            raise too_narrow(
                self.record.name,
                None if self.oauth.auth.scopes else f"It was asked for; open {where} to ask again.",
            )

        if needed != grant.needed:
            # Another process that wrote meanwhile has renewed it, or has written the same.
            with suppress(Conflict):
                wider = replace(grant, needed=needed).sealed()
                await self.oauth.secrets.keep(owner, self._name, wider, version=kept.version)

        raise unauthorized(self.record.name, deployment.public_url, is_wider=True)

    async def _granted(self, owner: str) -> tuple[KeptSecret, Grant]:
        kept = await self.oauth.secrets.kept(owner, self._name)
        grant = None if kept is None else read_grant(kept.secret)

        if kept is None or grant is None or grant.url != self.oauth.url:
            raise await self._unauthorized()

        return kept, grant

    async def _current(self, owner: str) -> Token:
        kept, grant = await self._granted(owner)
        is_refused = self._refused.pop(owner, None) == grant.access_token

        if grant.fresh_until > time.time() and not is_refused:
            return _token(grant)

        # Who shows a refresh token and is gone before it is kept has lost what replaces it.
        token: Token | None = None

        with anyio.CancelScope(shield=True):
            token = await self._refresh(owner, kept, grant)

        assert token is not None
        return token

    async def _refresh(self, owner: str, kept: KeptSecret, grant: Grant) -> Token:
        try:
            renewed = await self._renewed(grant)
        except ServerFailed as exc:
            # Without the client that was registered for it, a grant is of no more use.
            is_unknown = exc.error == "invalid_client" and grant.client_id is not None

            if exc.error != "invalid_grant" and not is_unknown:
                raise no_token(self.record.name, exc) from exc

            if is_unknown:
                self.registration.forget(grant.client_id)

            renewed = None

        if renewed is not None:
            try:
                await self.oauth.secrets.keep(
                    owner, self._name, renewed.sealed(), version=kept.version
                )
            except Conflict:
                renewed = None
            else:
                return _token(renewed)

        return await self._others(owner, kept)

    async def _renewed(self, grant: Grant) -> Grant | None:
        """Return a grant with new tokens; None where it cannot be renewed."""
        server = await self.oauth.discovery.server()

        # What the configuration says of the server has changed: nothing of ours goes to the old.
        if grant.refresh_token is None or not grant.is_of(self.oauth.url, server):
            return None

        answer = await request_token(
            self.oauth.judge,
            grant.token_url,
            grant.client(await self.oauth.client(server)),
            "refresh_token",
            filled(refresh_token=grant.refresh_token, resource=self.oauth.resource(server)),
        )
        return grant.renewed(answer, time.time())

    async def _others(self, owner: str, before: KeptSecret) -> Token:
        """Return what another process has kept meanwhile; else the grant is of no use any more."""
        kept = await self.oauth.secrets.kept(owner, self._name)
        grant = None if kept is None else read_grant(kept.secret)

        if kept is None or grant is None or kept.version == before.version:
            await self.oauth.secrets.forget(owner, self._name)
            raise await self._unauthorized()

        return _token(grant)

    async def _unauthorized(self) -> AuthorizationRequired:
        deployment = await self.oauth.secrets.deployment()
        return unauthorized(self.record.name, deployment.public_url)


def _token(grant: Grant) -> Token:
    until = min(grant.fresh_until, time.time() + _KEPT_SECONDS)
    return Token(secret=Secret(grant.access_token), fresh_until=until)
