"""What an identity provider says of itself: its metadata, checked, and kept for a while."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from spindle.federation.transport import FetchFailed, fetch_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.types import JsonObject

_KEPT_SECONDS = 3600.0
_REST_SECONDS = 10.0
_WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The endpoints of a provider."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    names_issuer: bool
    """Whether it says in its redirects who it is (RFC 9207)."""


class Provider:
    """One provider's metadata. The last good one stays while it cannot be read again."""

    def __init__(
        self, issuer: str, hosts: frozenset[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._hosts = hosts
        self._clock = clock
        self._known: tuple[float, Metadata] | None = None
        self._tried_at: float | None = None
        self._reading = anyio.Lock()

    async def metadata(self) -> Metadata:
        """Return the metadata.

        Raises:
            FetchFailed: It was never read, and cannot be read now.
        """
        async with self._reading:
            now = self._clock()

            if self._known is not None and now - self._known[0] < _KEPT_SECONDS:
                return self._known[1]

            is_resting = self._tried_at is not None and now - self._tried_at < _REST_SECONDS

            if is_resting and self._known is None:
                raise FetchFailed("the metadata could not be read a moment ago")

            if not is_resting:
                await self._read(now)

            if self._known is None:
                raise FetchFailed("no metadata")

            return self._known[1]

    async def jwks_url(self) -> str:
        """Return where its keys are."""
        return (await self.metadata()).jwks_uri

    async def _read(self, now: float) -> None:
        self._tried_at = now

        try:
            url = self._issuer.rstrip("/") + _WELL_KNOWN
            found = _metadata(await fetch_json(url, hosts=self._hosts), self._issuer)
        except FetchFailed:
            if self._known is None:
                raise
        else:
            self._known = (now, found)


def _metadata(document: JsonObject, issuer: str) -> Metadata:
    if document.get("issuer") != issuer:
        raise FetchFailed("the metadata names another issuer")

    userinfo = document.get("userinfo_endpoint")
    return Metadata(
        authorization_endpoint=_url(document, "authorization_endpoint"),
        token_endpoint=_url(document, "token_endpoint"),
        jwks_uri=_url(document, "jwks_uri"),
        userinfo_endpoint=userinfo if isinstance(userinfo, str) else None,
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _url(document: JsonObject, name: str) -> str:
    value = document.get(name)

    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise FetchFailed(f"the metadata has no {name}")

    return value
