"""Finds the authorization server of an upstream: RFC 9728, then RFC 8414 or OpenID discovery.

An upstream of 2025-03-26 says nothing of itself: its own origin is its authorization server then,
by the metadata there, else by the paths the protocol gave.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from spindle_mcp.upstream.credentials.faults import ServerFailed
from spindle_mcp.upstream.credentials.resource import Resource, origin_of, read_resource
from spindle_mcp.upstream.credentials.scopes import OFFLINE
from spindle_mcp.upstream.credentials.transport import Judge, fetch_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

    from spindle_spi.gateway_auth import GatewayAuth
    from spindle_spi.types import JsonObject

_KEPT_SECONDS: Final = 3600.0
_DOUBTED_SECONDS: Final = 60.0
"""How often what is known is read again because it is doubted."""
_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An authorization server, as its metadata or the configuration tell."""

    token_url: str
    issuer: str | None = None
    authorization_url: str | None = None
    registration_url: str | None = None
    revocation_url: str | None = None
    names_issuer: bool = False
    """Whether it says who it is when people come back (RFC 9207)."""
    takes_metadata: bool = False
    """Whether a client may be the URL of its metadata document."""
    has_s256: bool = True
    methods: tuple[str, ...] = ()
    """How clients may prove themselves at its token endpoint; empty: it does not say."""
    has_offline: bool = False
    """Whether refresh tokens are given to who asks for the scope `offline_access`."""
    resource: str | None = None
    """The upstream's own name for itself."""
    scopes: tuple[str, ...] = ()
    """Those the upstream wants."""


class Discovery:
    """The server of one upstream, read once an hour."""

    def __init__(
        self,
        url: str,
        auth: GatewayAuth,
        judge: Judge,
        knock: Callable[[], httpx2.Request],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`knock` makes a request to the upstream as its clients do, without a credential."""
        self._url = url
        self._auth = auth
        self._judge = judge
        self._knock = knock
        self._clock = clock
        self._known: tuple[float, Server] | None = None
        self._is_doubted = False
        self._doubtable_at = clock()
        self._turn = anyio.Lock()

    async def server(self, *, is_fresh: bool = False) -> Server:
        """Return it; `is_fresh` as it is now, not as it was within the hour.

        Raises:
            ServerFailed: It cannot be found.
        """
        async with self._turn:
            known = None if is_fresh else self._known

            if known is None or known[0] + _KEPT_SECONDS <= self._clock():
                known = await self._read()
            elif self._is_doubted:
                # What was known still holds where nothing else can be learned.
                with suppress(ServerFailed):
                    known = await self._read()

            self._known, self._is_doubted = known, False
            return known[1]

    async def _read(self) -> tuple[float, Server]:
        return (self._clock(), await self._find())

    def doubt(self) -> None:
        """Take the news that a token of it was refused: the upstream may have another by now."""
        now = self._clock()

        if now >= self._doubtable_at:
            self._is_doubted, self._doubtable_at = True, now + _DOUBTED_SECONDS

    async def _find(self) -> Server:
        auth = self._auth

        if auth.token_url is not None:
            return Server(
                token_url=auth.token_url,
                issuer=auth.issuer,
                authorization_url=auth.authorization_url,
            )

        if auth.issuer is not None:
            return await self._read_server(auth.issuer)

        resource = await read_resource(self._judge, self._url, self._knock())
        return await (self._read_older() if resource is None else self._server_of(resource))

    async def _server_of(self, resource: Resource) -> Server:
        if not resource.servers:
            raise ServerFailed("the upstream's metadata names none")

        server = await self._read_server(resource.servers[0])
        return replace(server, resource=resource.name, scopes=resource.scopes)

    async def _read_server(self, issuer: str) -> Server:
        for place in _places(issuer):
            found = await fetch_json(self._judge, place)

            if found is not None:
                return _server(found, issuer)

        raise ServerFailed("it has no metadata; set auth.token_url")

    async def _read_older(self) -> Server:
        """Return the upstream's own origin as its server, as the protocol of 2025-03-26 has it."""
        origin = origin_of(self._url)
        found = await fetch_json(self._judge, f"{origin}{_OAUTH}")

        if found is not None:
            # The well-known place says the origin; the slash at its end is nobody else's.
            is_slashed = found.get("issuer") == f"{origin}/"
            return _server(found, f"{origin}/" if is_slashed else origin)

        if not self._auth.dynamic_registration:
            raise ServerFailed("the upstream has no metadata that name it; set auth.issuer")

        return Server(
            token_url=f"{origin}/token",
            issuer=origin,
            authorization_url=f"{origin}/authorize",
            registration_url=f"{origin}/register",
        )


def _places(issuer: str) -> tuple[str, ...]:
    origin, path = origin_of(issuer), urlsplit(issuer).path.rstrip("/")
    places = (f"{origin}{_OAUTH}{path}", f"{origin}{_OPENID}{path}", f"{origin}{path}{_OPENID}")
    return tuple(dict.fromkeys(places))


def _server(found: JsonObject, issuer: str) -> Server:
    # Compared as text and nothing else: who answers in another's name is nobody.
    if found.get("issuer") != issuer:
        raise ServerFailed("its metadata name another issuer")

    token_url = _url(found, "token_endpoint")

    if token_url is None:
        raise ServerFailed("its metadata name no token endpoint")

    return Server(
        token_url=token_url,
        issuer=issuer,
        authorization_url=_url(found, "authorization_endpoint"),
        registration_url=_url(found, "registration_endpoint"),
        revocation_url=_url(found, "revocation_endpoint"),
        names_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        takes_metadata=found.get("client_id_metadata_document_supported") is True,
        has_s256="S256" in _words(found, "code_challenge_methods_supported"),
        methods=_words(found, "token_endpoint_auth_methods_supported"),
        has_offline=OFFLINE in _words(found, "scopes_supported"),
    )


def _url(document: JsonObject, name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def _words(document: JsonObject, name: str) -> tuple[str, ...]:
    value = document.get(name)
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()
