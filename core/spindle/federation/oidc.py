"""The login of people: authorization code with PKCE, state and nonce; nothing kept in between.

One secret in the browser's cookie gives all three: each is a hash of it, so that neither what is in
the address nor what the provider knows leads to another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from spindle.federation.code_flow import CodeFlow
from spindle.federation.jwks import PublishedKeys
from spindle.federation.jwt import (
    Expected,
    email_of,
    is_in_domains,
    take_apart,
    text_of,
    verify,
    words_of,
)
from spindle.federation.provider import Provider
from spindle.federation.provisioning import teams_of
from spindle.federation.transport import FetchFailed, fetch_json
from spindle.federation.waiting import KeysNeeded
from spindle.store.logins import External
from spindle_spi.errors import InvalidArgument, PermissionDenied, Unauthenticated, Unavailable
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle.config.auth import OidcSettings
    from spindle.federation.jwt import Unverified
    from spindle.federation.provider import Metadata
    from spindle.federation.provisioning import Provisioning
    from spindle.federation.sessions import LoginSessions
    from spindle_spi.types import JsonObject

LOGIN_SECONDS: Final = 600
"""How long a person may take at the provider."""

HOME_PATH: Final = "/admin"

_LEEWAY = 30.0
_AT_ONCE = 8
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,1000}")
_COOKIE = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{0,1400})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where a browser goes to log in, and what it holds until it is back."""

    url: str
    cookie: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """Who came back, their session, and where they wanted to go."""

    email: str
    session: Secret
    return_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AtProvider:
    """What is asked of the provider, and how."""

    provider: Provider
    flow: CodeFlow
    keys: PublishedKeys
    hosts: frozenset[str]


class OidcLogin:
    """Logs people in at one provider."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        at: AtProvider,
        provisioning: Provisioning,
        sessions: LoginSessions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self.at = at
        self._provisioning = provisioning
        self._sessions = sessions
        self.clock = clock
        self._turns = anyio.CapacityLimiter(_AT_ONCE)

    async def begin(self, return_to: str | None) -> Begun:
        """Begin a login.

        Raises:
            InvalidArgument: `return_to` is not a path of this server.
            Unavailable: The provider does not answer.
        """
        path = HOME_PATH if return_to is None else return_to

        if not _PATH.fullmatch(path):
            raise InvalidArgument("return_to: expected a path of this server, such as /admin.")

        seed = f"{int(self.clock())}.{secrets.token_urlsafe(32)}"

        try:
            metadata = await self.at.provider.metadata()
            url = await self.at.flow.lead(
                metadata.authorization_endpoint,
                state=_derived(seed, "state"),
                nonce=_derived(seed, "nonce"),
                verifier=_derived(seed, "verifier"),
            )
        except FetchFailed as exc:
            raise _away() from exc

        back = base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")
        return Begun(url=url, cookie=Secret(f"{seed}.{back}"))

    async def finish(self, query: Mapping[str, str], cookie: str | None) -> LoggedIn:
        """End a login with what the provider sent along.

        Raises:
            Unauthenticated: It is not this browser's login, or the provider vouches for nobody.
            PermissionDenied: The person may not come in here.
            Unavailable: The provider does not answer.
        """
        seed, return_to = self._begun(cookie)

        if not hmac.compare_digest(
            query.get("state", "").encode("utf-8", "replace"), _derived(seed, "state").encode()
        ):
            raise _failed("It was not begun in this browser.")

        code = query.get("code")

        if "error" in query or not code:
            raise _failed("The identity provider did not let you in.")

        async with self._turns:
            person = await self._person(query, code, seed)

        if person is None:
            raise _stranger()

        user = await self._provisioning.welcome(person, creates=self._settings.auto_create)

        if user is None or user.disabled_at is not None or user.is_service:
            raise _stranger()

        session = await self._sessions.open(user.email)
        return LoggedIn(email=user.email, session=session, return_to=return_to)

    def _begun(self, cookie: str | None) -> tuple[str, str]:
        match = _COOKIE.fullmatch(cookie or "")

        if match is None or int(match[1]) + LOGIN_SECONDS < self.clock():
            raise _failed("It was not begun in this browser, or took too long.")

        back = match[3]

        try:
            path = base64.urlsafe_b64decode(back + "=" * (-len(back) % 4)).decode()
        except ValueError:
            path = ""

        return f"{match[1]}.{match[2]}", path if _PATH.fullmatch(path) else HOME_PATH

    async def _person(self, query: Mapping[str, str], code: str, seed: str) -> External | None:
        try:
            metadata = await self.at.provider.metadata()
            said = query.get("iss")

            if said != self._settings.issuer and (said is not None or metadata.names_issuer):
                raise _failed("Another identity provider answered.")

            tokens = await self.at.flow.exchange(
                metadata.token_endpoint, code, _derived(seed, "verifier")
            )
            claims = await self._identity(tokens, _derived(seed, "nonce"))
            claims = await self._with_userinfo(claims, tokens, metadata)
        except FetchFailed as exc:
            raise _away() from exc

        return self._read(claims)

    async def _identity(self, tokens: JsonObject, nonce: str) -> JsonObject:
        """Return the claims of a valid identity token that was made for this login."""
        text = text_of(tokens, "id_token")

        if text is None:
            raise _failed("The identity provider sent no identity.")

        settings = self._settings
        expected = Expected(
            issuer=settings.issuer,
            audiences=(settings.client_id,),
            algorithms=settings.algorithms,
            leeway=_LEEWAY,
        )

        if self.at.keys.is_due():
            await self.at.keys.fetch()

        try:
            token = take_apart(text)

            try:
                self._verify(token, expected)
            except KeysNeeded as missing:
                await missing.prepare()
                self._verify(token, expected)
        except Unauthenticated as exc:
            raise _failed("The identity provider's word does not hold.") from exc

        claims = token.claims
        said = text_of(claims, "nonce") or ""
        is_ours = hmac.compare_digest(said.encode("utf-8", "replace"), nonce.encode())

        if not is_ours or claims.get("azp", settings.client_id) != settings.client_id:
            raise _failed("The identity provider's word is for another login.")

        return claims

    def _verify(self, token: Unverified, expected: Expected) -> None:
        verify(token, expected, self.at.keys, now=self.clock(), fetch=self.at.keys.fetch)

    async def _with_userinfo(
        self, claims: JsonObject, tokens: JsonObject, metadata: Metadata
    ) -> JsonObject:
        """Add what the identity token leaves to the userinfo endpoint; it says who it is about."""
        wanted = {self._settings.email_claim}

        if self._settings.group_teams:
            wanted.add(self._settings.group_claim)

        access = text_of(tokens, "access_token")

        if wanted <= claims.keys() or metadata.userinfo_endpoint is None or access is None:
            return claims

        headers = {"authorization": f"Bearer {access}"}
        more = await fetch_json(metadata.userinfo_endpoint, hosts=self.at.hosts, headers=headers)

        if more.get("sub") != claims.get("sub"):
            raise _failed("The identity provider's answers are about different people.")

        return more | claims

    def _read(self, claims: JsonObject) -> External | None:
        settings = self._settings
        subject, email = text_of(claims, "sub"), email_of(claims, settings.email_claim)

        if subject is None or email is None or not is_in_domains(email, settings.allowed_domains):
            return None

        return External(
            email=email,
            name=text_of(claims, "name") or "",
            issuer=settings.issuer,
            subject=subject,
            role=settings.default_role,
            teams=teams_of(words_of(claims, settings.group_claim), settings.group_teams),
            syncs_teams=True,
        )


def _derived(seed: str, purpose: str) -> str:
    digest = hmac.digest(seed.encode(), purpose.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _failed(reason: str) -> Unauthenticated:
    return Unauthenticated(
        f"The login did not succeed. {reason} Begin again at /auth/login.",
        code="core.login.failed",
    )


def _stranger() -> PermissionDenied:
    return PermissionDenied(
        "The login did not succeed: there is no active account for you here.",
        code="core.login.no_account",
    )


def _away() -> Unavailable:
    return Unavailable(
        "The identity provider cannot be used at the moment.",
        code="core.login.provider_unavailable",
        retry_after=2.0,
    )
