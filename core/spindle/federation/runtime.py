"""Federation as the core holds it: built only where something of it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle.config.federation import CLIENT_SECRET, issuer_key
from spindle.federation.callers import MARK as JWT_MARK
from spindle.federation.callers import Issuer, JwtCallers
from spindle.federation.code_flow import CodeFlow
from spindle.federation.jwks import FixedKeys, KeySource, PublishedKeys
from spindle.federation.jwt import Expected, looks_like_jwt
from spindle.federation.keys import read_key
from spindle.federation.oidc import AtProvider, OidcLogin
from spindle.federation.provider import Provider
from spindle.federation.provisioning import Provisioning
from spindle.federation.sessions import COOKIE_MARK, LoginSessions
from spindle.federation.sessions import MARK as SESSION_MARK
from spindle.federation.transport import hosts_of
from spindle_spi.errors import ConfigError, FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.config.auth import AuthSettings, JwtIssuer, OidcSettings
    from spindle.credentials import Credential
    from spindle.secrets import SecretStore
    from spindle.snapshot import Snapshot
    from spindle.snapshots import Snapshots
    from spindle.store import Store
    from spindle_spi.context import Subject
    from spindle_spi.secret import Secret

_TURN_SECONDS = 15.0
"""How often keys are looked after, and the use of sessions is noted."""

_OIDC_KEYS_AGE = 3600.0
_OIDC_KEYS_STALE = 86_400.0


class Federation:
    """Callers whom somebody else vouches for."""

    def __init__(
        self,
        *,
        callers: JwtCallers,
        sessions: LoginSessions | None,
        login: OidcLogin | None,
    ) -> None:
        self.callers = callers
        self.sessions = sessions
        self.login = login

    def credential(self, text: str, hashed: str, snapshot: Snapshot) -> Credential | None:
        """Return what a credential is worth now; None when it is not of a kind we know.

        Raises:
            Unauthenticated: It does not hold.
            KeysNeeded: It cannot be told before something was fetched.
            Unavailable: It cannot be told at the moment.
        """
        if looks_like_jwt(text):
            return self.callers.resolve(text, hashed, snapshot)

        if self.sessions is not None and text.startswith(COOKIE_MARK):
            return self.sessions.resolve(hashed, snapshot)

        return None

    def is_current(self, subject: Subject, snapshot: Snapshot) -> bool:
        """Tell whether a credential of ours still holds, for the person it was resolved for."""
        token_id = subject.token_id or ""
        person = snapshot.people.users.get(subject.user_email or "")

        if person is None or person.is_disabled or person.epoch != subject.token_epoch:
            return False

        if token_id.startswith(JWT_MARK):
            return self.callers.is_current(subject)

        is_session = self.sessions is not None and token_id.startswith(SESSION_MARK)
        return is_session and self.sessions is not None and self.sessions.is_current(subject)

    async def run(self) -> None:
        """Keep keys fresh and note the use of sessions, until cancelled."""
        while True:
            for issuer in self.callers.issuers:
                if isinstance(issuer.keys, PublishedKeys) and issuer.keys.is_due():
                    await issuer.keys.fetch()

            if self.sessions is not None:
                await self.sessions.note()

            await anyio.sleep(_TURN_SECONDS)


def build_federation(
    settings: AuthSettings,
    *,
    secrets: SecretStore,
    store: Store,
    snapshots: Snapshots,
    count: Callable[[str, float, dict[str, str]], None],
    public_url: str | None = None,
) -> Federation:
    """Build what is configured.

    Raises:
        ConfigError: A key or secret is missing, or is none.
    """
    provisioning = Provisioning(store, snapshots)
    issuers = tuple(
        Issuer(
            settings=entry,
            expected=Expected(
                issuer=entry.issuer,
                audiences=entry.audiences,
                algorithms=entry.algorithms,
                leeway=entry.leeway_seconds,
                public_url=public_url,
            ),
            keys=_keys(entry, index, settings, secrets, count),
        )
        for index, entry in enumerate(settings.jwt)
    )
    callers = JwtCallers(issuers, provisioning)

    if settings.oidc is None:
        return Federation(callers=callers, sessions=None, login=None)

    sessions = LoginSessions(settings.oidc, store, snapshots)
    snapshots.followers.append(sessions)
    hosts = hosts_of(settings.oidc.issuer) | frozenset(settings.allowed_hosts)
    provider = Provider(settings.oidc.issuer, hosts)
    source = KeySource(
        find_url=provider.jwks_url,
        hosts=hosts,
        algorithms=settings.oidc.algorithms,
        max_age=_OIDC_KEYS_AGE,
        max_stale=_OIDC_KEYS_STALE,
    )
    login = OidcLogin(
        settings.oidc,
        at=AtProvider(
            provider=provider,
            flow=CodeFlow(settings.oidc, _client_secret(settings.oidc, secrets), hosts),
            keys=PublishedKeys(source, count=count),
            hosts=hosts,
        ),
        provisioning=provisioning,
        sessions=sessions,
    )
    return Federation(callers=callers, sessions=sessions, login=login)


def _keys(
    entry: JwtIssuer,
    index: int,
    settings: AuthSettings,
    secrets: SecretStore,
    count: Callable[[str, float, dict[str, str]], None],
) -> FixedKeys | PublishedKeys:
    url = entry.jwks_url

    if url is None:
        path = f"auth.jwt[{index}].{'key_file' if entry.key_file else 'key_env_var'}"

        try:
            text = secrets.resolve(issuer_key(index)).reveal()
        except FailedPrecondition as exc:
            raise ConfigError([f"{path}: {exc.message}"]) from exc

        return FixedKeys(read_key(text, entry.algorithms, path))

    async def find_url() -> str:
        return url

    source = KeySource(
        find_url=find_url,
        hosts=hosts_of(url) | frozenset(settings.allowed_hosts),
        algorithms=entry.algorithms,
        max_age=entry.jwks_max_age_seconds,
        max_stale=max(entry.jwks_stale_seconds, entry.jwks_max_age_seconds),
    )
    return PublishedKeys(source, count=count)


def _client_secret(settings: OidcSettings, secrets: SecretStore) -> Secret | None:
    """Return the client's secret; None is a public client, which PKCE alone protects."""
    if settings.client_secret_env_var is None and settings.client_secret_file is None:
        return None

    try:
        return secrets.resolve(CLIENT_SECRET)
    except FailedPrecondition as exc:
        raise ConfigError([f"auth.oidc: {exc.message}"]) from exc
