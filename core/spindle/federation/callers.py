"""Callers with a token of another issuer: verified once, looked up after that."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from spindle.config.auth import JwtIssuer
from spindle.credentials import Credential
from spindle.federation.jwks import FixedKeys, PublishedKeys
from spindle.federation.jwt import (
    Expected,
    audiences_of,
    email_of,
    is_in_domains,
    refused,
    take_apart,
    text_of,
    verify,
    words_of,
)
from spindle.federation.provisioning import teams_of
from spindle.federation.waiting import KeysNeeded
from spindle.federation.worth import Generations
from spindle.people import credential_of
from spindle.store.logins import External

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.federation.provisioning import Provisioning
    from spindle.snapshot import Snapshot
    from spindle_spi.context import Subject
    from spindle_spi.types import JsonObject

MARK = "jwt_"
"""How the ids of these credentials begin."""

_KEPT_SECONDS = 60.0
_MOST_TOKENS = 10_000
_MOST_CALLERS = 100_000

KeyStore: TypeAlias = FixedKeys | PublishedKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer, what its tokens must say, and its keys."""

    settings: JwtIssuer
    expected: Expected
    keys: KeyStore

    async def fetch(self) -> None:
        """Fetch the keys, if they are published anywhere."""
        if isinstance(self.keys, PublishedKeys):
            await self.keys.fetch()


@dataclass(slots=True, kw_only=True)
class _Verified:
    """A token that held, for a while."""

    issuer: Issuer
    person: External
    claimed_teams: tuple[str, ...] | None
    permissions: tuple[str, ...] | None
    """What it may do at most, by its scopes; None where those say nothing."""
    paths: tuple[str, ...] | None
    """Where it holds; None is everywhere."""
    token_id: str
    expires_at: float
    good_until: float
    generation: int = -1
    """Of the people `credential` was made of."""
    credential: Credential | None = None


class JwtCallers:
    """Resolves tokens. A known one costs two look-ups; the person is the snapshot's every time."""

    def __init__(
        self,
        issuers: tuple[Issuer, ...],
        provisioning: Provisioning,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuers = issuers
        self._by_name = {issuer.expected.issuer: issuer for issuer in issuers}
        self._provisioning = provisioning
        self._clock = clock
        self._generations = Generations()
        self._tokens: OrderedDict[str, _Verified] = OrderedDict()
        self._ends: OrderedDict[str, float] = OrderedDict()

    def resolve(self, text: str, hashed: str, snapshot: Snapshot) -> Credential:
        """Return what a token is worth now.

        Raises:
            Unauthenticated: It does not hold, or its person is unknown or disabled.
            KeysNeeded: Keys are to be fetched, or the person is to be made.
            Unavailable: There are no keys to judge by.
        """
        now = self._clock()
        known = self._tokens.get(hashed)

        if known is None or known.good_until <= now:
            known = self._verify(text, hashed, now)

        generation = self._generations.number(snapshot.people)

        if known.generation != generation or known.credential is None:
            known.credential = self._credential(known, snapshot)
            known.generation = generation

        return known.credential

    def is_current(self, subject: Subject) -> bool:
        """Tell whether the caller has shown a token that has not ended yet."""
        return self._ends.get(subject.token_id or "", 0.0) > self._clock()

    def kept(self) -> int:
        """Return how many verified tokens are kept."""
        return len(self._tokens)

    def _verify(self, text: str, hashed: str, now: float) -> _Verified:
        self._tokens.pop(hashed, None)
        token = take_apart(text)
        issuer = self._by_name.get(text_of(token.claims, "iss") or "")

        if issuer is None:
            raise refused()

        expires_at = verify(token, issuer.expected, issuer.keys, now=now, fetch=issuer.fetch)
        known = _read(token.claims, issuer, expires_at, now)
        self._tokens[hashed] = known

        if len(self._tokens) > _MOST_TOKENS:
            self._tokens.popitem(last=False)

        return known

    def _credential(self, known: _Verified, snapshot: Snapshot) -> Credential:
        person = snapshot.people.users.get(known.person.email)

        if person is None and known.issuer.settings.auto_create:
            raise KeysNeeded(lambda: self._create(known.person))

        if person is None or person.is_disabled or person.is_service:
            raise refused()

        # A caller may show newer tokens: what runs ends with the last of them.
        ends = max(known.expires_at, self._ends.pop(known.token_id, 0.0))
        self._ends[known.token_id] = ends

        if len(self._ends) > _MOST_CALLERS:
            self._ends.popitem(last=False)

        credential = credential_of(
            person,
            snapshot.people,
            token_id=known.token_id,
            claimed_teams=known.claimed_teams,
            permissions=known.permissions,
            expires_at=known.expires_at,
        )
        return credential if known.paths is None else replace(credential, paths=known.paths)

    async def _create(self, person: External) -> None:
        await self._provisioning.welcome(person, creates=True)


def _read(claims: JsonObject, issuer: Issuer, expires_at: float, now: float) -> _Verified:
    settings, names = issuer.settings, issuer.settings.claims
    subject, email = text_of(claims, "sub"), email_of(claims, names.email)

    if subject is None or email is None or not is_in_domains(email, settings.allowed_domains):
        raise refused()

    person = External(
        email=email,
        name=text_of(claims, names.name) or "",
        issuer=settings.issuer,
        subject=subject,
        role=settings.default_role,
        teams=teams_of(words_of(claims, names.groups), settings.group_teams),
        syncs_teams=False,
    )
    return _Verified(
        issuer=issuer,
        person=person,
        # A claim that is asked for and absent is no teams: public records alone.
        claimed_teams=None if names.teams is None else words_of(claims, names.teams),
        permissions=None if names.scope is None else _scopes_of(claims, names.scope),
        paths=_paths_of(claims, issuer.expected),
        token_id=_token_id(settings.issuer, subject),
        expires_at=expires_at,
        good_until=min(expires_at, now + _KEPT_SECONDS),
    )


def _scopes_of(claims: JsonObject, name: str) -> tuple[str, ...]:
    """Return scopes, which are a list, or words in one text."""
    return tuple(word for entry in words_of(claims, name) for word in entry.split())


def _paths_of(claims: JsonObject, expected: Expected) -> tuple[str, ...] | None:
    """Return the resources of ours a token is for; None when it is for all of us."""
    audiences = audiences_of(claims)

    if any(audience in expected.audiences for audience in audiences):
        return None

    paths = (expected.path_of(audience) for audience in audiences)
    return tuple(path for path in paths if path is not None)


def _token_id(issuer: str, subject: str) -> str:
    """Return one id for all tokens of a person: limits and usage outlive a token of minutes."""
    said = f"{issuer}\0{subject}".encode("utf-8", "surrogatepass")
    return MARK + hashlib.blake2b(said, digest_size=12).hexdigest()
