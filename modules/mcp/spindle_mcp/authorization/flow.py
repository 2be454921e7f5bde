"""A person lets a gateway act for them: the authorization code flow with PKCE, from our side.

What was begun is kept under the person who began it, encrypted: only they can end it, once, in any
process of ours, before its time is over.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.credentials.client import authorization_url, request_token
from spindle_mcp.upstream.credentials.faults import ServerFailed, no_token, nobody
from spindle_mcp.upstream.credentials.grants import (
    Pending,
    grant_name,
    pending_name,
    read_grant,
    read_pending,
)
from spindle_mcp.upstream.credentials.machine import filled
from spindle_mcp.upstream.credentials.names import CALLBACK
from spindle_mcp.upstream.credentials.scopes import OFFLINE, scopes_for
from spindle_spi.errors import FailedPrecondition, NotFound, PermissionDenied
from spindle_spi.observability import AuditEvent
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle_mcp.upstream.credentials.discovery import Server
    from spindle_mcp.upstream.credentials.grants import Grant
    from spindle_mcp.upstream.credentials.people import PersonalTokens
    from spindle_mcp.upstream.credentials.registration import Registration
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import Secret
    from spindle_spi.services import Services
    from spindle_spi.types import Json

PENDING_SECONDS: Final = 600.0
"""How long a person may take at the authorization server."""


class Authorizations:
    """What people let gateways do for them."""

    def __init__(
        self, services: Services, fleet: Fleet, clock: Callable[[], float] = time.time
    ) -> None:
        self._services = services
        self._kept = services.config_secrets
        self._fleet = fleet
        self._clock = clock

    async def begin(self, context: AuthenticatedContext, gateway: str) -> str:
        """Begin; returns where the person's browser goes.

        Raises:
            NotFound: The gateway is absent, or hidden from the caller.
            FailedPrecondition: It does not act for persons, or the caller is none.
            UpstreamError: Its authorization server cannot be used.
        """
        # First whether the caller may know of it: the other answers tell that it is there.
        source, registration = await self._source(context, gateway)
        owner = _owner_of(context, gateway)
        public_url = await self._public_url()
        oauth = source.oauth

        try:
            # As the upstream says today: what somebody was told may be why they are here again.
            server = await oauth.discovery.server(is_fresh=True)
            place = _place_of_consent(server)
            client, is_configured = await registration.client(server, public_url)
            scopes = scopes_for(oauth.auth, server, await self._granted(owner, source, server))
            state = f"{gateway}.{secrets.token_urlsafe(32)}"
            pending = Pending(
                state=_digest(state),
                verifier=secrets.token_urlsafe(48),
                url=oauth.url,
                token_url=server.token_url,
                redirect_uri=f"{public_url}{CALLBACK}",
                expires_at=self._clock() + PENDING_SECONDS,
                names_issuer=server.names_issuer,
                issuer=server.issuer,
                resource=oauth.resource(server),
                asked=" ".join(scopes),
                client_id=None if is_configured else client.id,
                client_method=client.method,
                client_secret=None
                if is_configured or client.secret is None
                else client.secret.reveal(),
            )
            url = await authorization_url(
                oauth.judge,
                place,
                client,
                pending.verifier,
                {
                    "state": state,
                    "redirect_uri": pending.redirect_uri,
                    **oauth.wanted_with(scopes, server),
                    # OpenID gives what outlives the visit only to who was seen to say yes.
                    **filled(prompt="consent" if OFFLINE in scopes else None),
                },
            )
        except ServerFailed as exc:
            raise no_token(gateway, exc) from exc

        await self._kept.keep(owner, pending_name(source.record), pending.sealed())
        return url

    async def finish(self, context: AuthenticatedContext, query: Mapping[str, str]) -> str:
        """End what the caller began, with what the server sent along; returns the gateway.

        Raises:
            PermissionDenied: It is not the caller's, was used, took too long, or was refused.
            UpstreamError: The server gave no tokens.
        """
        state = query.get("state", "")
        gateway = state.rpartition(".")[0]
        owner = _owner_of(context, gateway)

        try:
            source, _ = await self._source(context, gateway)
        except (NotFound, FailedPrecondition) as exc:
            raise _not_begun() from exc

        pending = await self._begun(owner, source, state)

        if pending is None:
            raise _not_begun()

        self._check(pending, query)
        code = query.get("code")

        if "error" in query or not code:
            await self._tell(context, gateway, "denied", "the authorization server said no")
            raise PermissionDenied(
                f"The authorization server of {gateway!r} did not let the gateway act for you.",
                code="mcp.authorization.denied",
            )

        try:
            grant = await self._exchanged(source, pending, code)
        except ServerFailed as exc:
            await self._tell(context, gateway, "denied", "no tokens")

            if exc.error == "invalid_client":
                source.registration.forget(pending.client_id)

            raise no_token(gateway, exc) from exc

        await self._kept.keep(owner, grant_name(source.record), grant)
        await self._tell(context, gateway, "allowed")
        source.forget(owner)
        self._fleet.changed(gateway, owner)
        return gateway

    async def list(self, context: AuthenticatedContext) -> list[Json]:
        """Return for which gateways the caller has a grant, and since when; never a token."""
        owner = context.subject.user_email

        if owner is None:
            return []

        times = {name.name: name for name in await self._kept.names_kept(owner)}
        found: list[Json] = []

        for source in self._fleet.personal():
            kept = times.get(grant_name(source.record))

            if kept is not None:
                found.append(
                    {
                        "gateway": source.record.name,
                        "created_at": kept.created_at,
                        "updated_at": kept.updated_at,
                    }
                )

        return found

    async def revoke(self, context: AuthenticatedContext, gateway: str) -> None:
        """Take a grant back: here, and at the server as far as it listens.

        Raises:
            NotFound: There is none.
        """
        owner = context.subject.user_email
        found = [one for one in self._fleet.personal() if one.record.name == gateway]

        if not found or owner is None:
            raise _no_grant(gateway)

        owner = owner.lower()

        (source,) = found
        name = grant_name(source.record)
        kept = await self._kept.kept(owner, name)

        if not await self._kept.forget(owner, name):
            raise _no_grant(gateway)

        source.forget(owner)
        self._fleet.changed(gateway, owner)
        await self._tell(context, gateway, "allowed", "", "mcp.authorization.revoke")
        grant = None if kept is None else read_grant(kept.secret)

        if grant is not None:
            await source.oauth.revoke(grant)

    async def _granted(self, owner: str, source: PersonalTokens, server: Server) -> Grant | None:
        """Return what a person has agreed to at a server before."""
        kept = await self._kept.kept(owner, grant_name(source.record))
        grant = None if kept is None else read_grant(kept.secret)
        return grant if grant is not None and grant.is_of(source.oauth.url, server) else None

    async def _begun(self, owner: str, source: PersonalTokens, state: str) -> Pending | None:
        """Return what was begun with a state, and nobody can end any more but this caller."""
        name = pending_name(source.record)
        kept = await self._kept.kept(owner, name)
        pending = None if kept is None else read_pending(kept.secret)

        # Another state leaves what was begun alone: a stranger's link must not end it.
        if pending is None or not hmac.compare_digest(pending.state, _digest(state)):
            return None

        if not await self._kept.forget(owner, name):
            return None

        is_in_time = self._clock() < pending.expires_at
        return pending if is_in_time and pending.url == source.oauth.url else None

    def _check(self, pending: Pending, query: Mapping[str, str]) -> None:
        said = query.get("iss")

        # Compared as text and nothing else (RFC 9207).
        if said != pending.issuer and (said is not None or pending.names_issuer):
            raise PermissionDenied(
                "Another authorization server answered than the one that was asked.",
                code="mcp.authorization.issuer",
            )

    async def _exchanged(self, source: PersonalTokens, pending: Pending, code: str) -> Secret:
        oauth = source.oauth
        client = pending.client(await oauth.client(await oauth.discovery.server()))
        answer = await request_token(
            oauth.judge,
            pending.token_url,
            client,
            "authorization_code",
            {
                "code": code,
                "code_verifier": pending.verifier,
                "redirect_uri": pending.redirect_uri,
                **filled(resource=pending.resource),
            },
        )
        return pending.grant(answer, self._clock()).sealed()

    async def _source(
        self, context: AuthenticatedContext, gateway: str
    ) -> tuple[PersonalTokens, Registration]:
        target = Target(kind=Kind.GATEWAY, name=gateway)
        # Raises for who may not know of it, as for what is not there.
        await self._services.auth.check_catalog_access(context, target, Action.READ)
        found = [one for one in self._fleet.personal() if one.record.name == gateway]

        if not found:
            raise FailedPrecondition(
                f"The gateway {gateway!r} does not act for persons.",
                code="mcp.authorization.not_personal",
            )

        return found[0], found[0].registration

    async def _public_url(self) -> str:
        deployment = await self._kept.deployment()

        if deployment.public_url is None:
            raise FailedPrecondition(
                "server.public_url is not set, and people would not find back here.",
                code="mcp.authorization.public_url",
            )

        return deployment.public_url

    async def _tell(
        self,
        context: AuthenticatedContext,
        gateway: str,
        decision: str,
        reason: str = "",
        action: str = "mcp.authorization.grant",
    ) -> None:
        event = AuditEvent(action=action, target=gateway, decision=decision, reason=reason)
        await self._services.observability.audit(context, event)


def _owner_of(context: AuthenticatedContext, gateway: str) -> str:
    if context.subject.user_email is None:
        raise nobody(gateway)

    return context.subject.user_email.lower()


def _place_of_consent(server: Server) -> str:
    """Return where people say yes at a server that we may send them to."""
    if server.authorization_url is None:
        raise ServerFailed("it has no place for people to say yes")

    if not server.has_s256:
        raise ServerFailed("it does not do PKCE with S256")

    return server.authorization_url


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()


def _not_begun() -> PermissionDenied:
    return PermissionDenied(
        "You have not begun this, or it was ended already, or it took too long: begin again.",
        code="mcp.authorization.not_begun",
    )


def _no_grant(gateway: str) -> NotFound:
    return NotFound(
        f"You have not let the gateway {gateway!r} act for you.", code="mcp.authorization.none"
    )
