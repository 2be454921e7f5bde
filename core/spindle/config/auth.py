"""`auth`: tokens of other issuers, and the login of people through an identity provider."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from spindle.config.sections import Count, Seconds, Section, Text, Url, refuse

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]

LOGIN_CALLBACK = "/auth/callback"

_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback_host(host: str | None) -> bool:
    """Tell whether a URL's host is this machine by its very name."""
    return host in _LOOPBACK


def _check_domain(value: str) -> str:
    if not _DOMAIN.fullmatch(value):
        raise refuse(f"{value!r} is not a domain", "a domain in lower case, such as example.com")

    return value


def _check_secure(value: str) -> str:
    parts = urlsplit(value)

    if parts.scheme != "https" and not is_loopback_host(parts.hostname):
        raise refuse("is not encrypted", "https://…; http is for this machine alone")

    return value


def _check_callback(value: str) -> str:
    if urlsplit(value).path != LOGIN_CALLBACK:
        raise refuse("is not where the login comes back", f"https://HOST[:PORT]{LOGIN_CALLBACK}")

    return value


SecureUrl = Annotated[Url, AfterValidator(_check_secure)]
Domain = Annotated[Text, AfterValidator(_check_domain)]


class ClaimNames(Section):
    """Which claims tell what."""

    email: Text = "email"
    name: Text = "name"
    teams: Text | None = None
    """Narrows the person's teams; None leaves them."""
    groups: Text = "groups"
    scope: Text | None = None
    """Narrows what the token may do, by our permissions' names; None leaves it."""


class TeamRole(Section):
    """What a group means here."""

    team: Text
    role: Text = "developer"


class JwtIssuer(Section):
    """One of `auth.jwt`: an issuer whose tokens are accepted."""

    issuer: Text
    audiences: Annotated[tuple[Text, ...], Field(min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    key_file: Text | None = None
    key_env_var: Text | None = None
    jwks_url: SecureUrl | None = None
    jwks_max_age_seconds: Seconds = 3600.0
    jwks_stale_seconds: Seconds = 86_400.0
    """How long the last good keys serve while new ones cannot be had."""
    leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30.0
    claims: ClaimNames = ClaimNames()
    auto_create: bool = False
    allowed_domains: tuple[Domain, ...] = ()
    default_role: Text | None = None
    """Platform-wide role of a person who is created."""
    group_teams: dict[str, TeamRole] = {}

    @model_validator(mode="after")
    def _check(self) -> JwtIssuer:
        sources = [self.key_file, self.key_env_var, self.jwks_url]

        if sum(source is not None for source in sources) != 1:
            raise refuse(
                "names not exactly one place of the keys", "key_file, key_env_var or jwks_url"
            )

        is_shared = "HS256" in self.algorithms

        if is_shared and len(set(self.algorithms)) > 1:
            raise refuse(
                "mixes a shared secret with public keys", "HS256 alone, or algorithms without it"
            )

        if is_shared and self.jwks_url is not None:
            raise refuse("has a shared secret published at a URL", "key_file or key_env_var")

        return self


class OidcSettings(Section):
    """`auth.oidc`: the provider people log in at."""

    issuer: SecureUrl
    client_id: Text
    client_secret_env_var: Text | None = None
    client_secret_file: Text | None = None
    scopes: tuple[Text, ...] = ("openid", "email", "profile")
    redirect_url: Annotated[SecureUrl, AfterValidator(_check_callback)]
    algorithms: Annotated[tuple[Literal["RS256", "ES256", "EdDSA"], ...], Field(min_length=1)] = (
        "RS256",
        "ES256",
    )
    email_claim: Text = "email"
    group_claim: Text = "groups"
    group_teams: dict[str, TeamRole] = {}
    allowed_domains: tuple[Domain, ...] = ()
    auto_create: bool = False
    default_role: Text | None = None
    session_seconds: Seconds = 43_200.0
    session_idle_seconds: Seconds = 3600.0
    sessions_per_person: Annotated[Count, Field(le=1000)] = 20


class AuthSettings(Section):
    """`auth`."""

    allowed_hosts: tuple[Text, ...] = ()
    """Hosts an identity provider may name though they are not public."""
    jwt: tuple[JwtIssuer, ...] = ()
    oidc: OidcSettings | None = None
    resource_scopes: tuple[Text, ...] | None = None
    """What MCP clients ask an identity provider for; None is the permissions they need."""


def session_cookie(settings: AuthSettings) -> str | None:
    """Return the name of the cookie of login sessions; None where nobody logs in.

    The prefix binds it to this very host and to https, which loopback may be without.
    """
    if settings.oidc is None:
        return None

    is_secure = urlsplit(settings.oidc.redirect_url).scheme == "https"
    return "__Host-spindle_session" if is_secure else "spindle_session"
