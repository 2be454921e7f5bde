"""Verifies JSON Web Tokens: the signature by joserfc, everything around it strictly here."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from spindle.directory.names import SERVICE_DOMAIN
from spindle.federation.transport import FetchFailed, json_object
from spindle.federation.waiting import KeysNeeded, unready
from spindle_spi.errors import Unauthenticated
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from spindle.federation.keys import VerifyingKey
    from spindle_spi.types import Json

MAX_CHARACTERS = 16_384
_MAX_TIME = 1e12


class Keys(Protocol):
    """Where an issuer's keys are."""

    def find(self, kid: str | None, algorithm: str) -> tuple[VerifyingKey, ...]:
        """Return the keys a token may be signed with."""
        ...

    def may_fetch(self) -> bool:
        """Tell whether asking again may bring other keys."""
        ...

    def is_usable(self) -> bool:
        """Tell whether there are keys to judge by."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token must say."""

    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    leeway: float
    public_url: str | None = None
    """What audiences begin with that are resources of ours (RFC 8707)."""

    def accepts(self, audience: str) -> bool:
        """Tell whether a token for an audience is for us, or for something of ours."""
        return audience in self.audiences or self.path_of(audience) is not None

    def path_of(self, audience: str) -> str | None:
        """Return where a resource of ours is, without a slash at the end; None if it is none."""
        base = self.public_url

        if base is None or (audience != base and not audience.startswith(f"{base}/")):
            return None

        return audience[len(base) :].rstrip("/")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token taken apart; nothing in it is true yet."""

    header: JsonObject
    claims: JsonObject
    signed: bytes
    signature: bytes


def looks_like_jwt(text: str) -> bool:
    """Tell whether a credential is to be read as a JWT: a JSON object in base64, and two dots."""
    return text.startswith("eyJ") and text.count(".") == 2


def take_apart(text: str) -> Unverified:
    """Return the parts of a token.

    Raises:
        Unauthenticated: It is too long, or none.
    """
    if len(text) > MAX_CHARACTERS or not text.isascii():
        raise refused()

    head, _, signature = text.rpartition(".")
    header, _, payload = head.partition(".")

    try:
        return Unverified(
            header=json_object(_decoded(header)),
            claims=json_object(_decoded(payload)),
            signed=head.encode(),
            signature=_decoded(signature),
        )
    except (FetchFailed, ValueError) as exc:
        raise refused() from exc


def verify(
    token: Unverified,
    expected: Expected,
    keys: Keys,
    *,
    now: float,
    fetch: Callable[[], Awaitable[None]],
) -> float:
    """Check a token wholly; returns when it expires, in seconds since the epoch.

    Raises:
        Unauthenticated: It does not hold.
        KeysNeeded: Its key may be among those that are to be fetched.
        Unavailable: There are no keys to judge by.
    """
    header = token.header
    algorithm, kid = header.get("alg"), header.get("kid")

    # `crit` asks for what we do not know; `jku`, `x5u` and `jwk` are never looked at.
    if not isinstance(algorithm, str) or algorithm not in expected.algorithms or "crit" in header:
        raise refused()

    if not isinstance(kid, str | None):
        raise refused()

    # Cheap things first: a token that cannot hold makes nobody fetch keys.
    expires_at = _check_claims(token.claims, expected, now)
    candidates = keys.find(kid, algorithm)

    if not candidates:
        if keys.may_fetch():
            raise KeysNeeded(fetch)

        raise refused() if keys.is_usable() else unready()

    if not any(key.verifies(token.signed, token.signature) for key in candidates):
        raise refused()

    return expires_at


def _check_claims(claims: JsonObject, expected: Expected, now: float) -> float:
    if claims.get("iss") != expected.issuer or not any(map(expected.accepts, audiences_of(claims))):
        raise refused()

    expires_at = _time(claims, "exp")

    if expires_at is None or expires_at + expected.leeway <= now:
        raise refused()

    for name in ("nbf", "iat"):
        at = _time(claims, name)

        if at is not None and at - expected.leeway > now:
            raise refused()

    return expires_at + expected.leeway


def audiences_of(claims: JsonObject) -> tuple[str, ...]:
    """Return whom a token is for."""
    audience = claims.get("aud")
    said = audience if isinstance(audience, list) else [audience]
    return tuple(entry for entry in said if isinstance(entry, str))


def _time(claims: JsonObject, name: str) -> float | None:
    value = claims.get(name)

    if value is None:
        return None

    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused()

    # Compared as it is: whole numbers in JSON may be greater than any float. NaN is never inside.
    if not 0 <= value < _MAX_TIME:
        raise refused()

    return float(value)


def text_of(claims: JsonObject, name: str) -> str | None:
    """Return a claim that is a text and not empty."""
    value = claims.get(name)
    return value if isinstance(value, str) and value else None


def words_of(claims: JsonObject, name: str) -> tuple[str, ...]:
    """Return a claim that is a list of words, or one word; absent or anything else is none."""
    value = claims.get(name)
    entries: Sequence[Json] = value if isinstance(value, list) else [value]
    return tuple(entry for entry in entries if isinstance(entry, str) and entry)


def email_of(claims: JsonObject, name: str) -> str | None:
    """Return the e-mail address in a claim, in lower case; None where it is none, or unproven.

    Those of service accounts are ours: nobody outside speaks for them.
    """
    text = text_of(claims, name)

    if text is None or claims.get("email_verified", True) not in (True, "true"):
        return None

    local, at, domain = text.rpartition("@")
    is_address = bool(local and at and domain) and len(text) <= 254 and "@" not in local
    is_plain = text.isprintable() and not any(character.isspace() for character in text)
    is_outside = domain.lower() != SERVICE_DOMAIN
    return text.lower() if is_address and is_plain and is_outside else None


def is_in_domains(email: str, domains: Sequence[str]) -> bool:
    """Tell whether an address is in one of the domains; no domains are all."""
    return not domains or email.rpartition("@")[2] in domains


def refused() -> Unauthenticated:
    """Return the one error for a token that does not hold: why is nobody's business."""
    return Unauthenticated("The token is not valid.")


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64url") from exc
