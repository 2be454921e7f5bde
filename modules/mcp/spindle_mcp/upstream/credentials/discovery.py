"""Finds the authorization server of an upstream: RFC 9728, then RFC 8414 or OpenID discovery."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
import httpx2

from spindle_mcp.upstream.credentials.faults import ServerFailed
from spindle_mcp.upstream.credentials.transport import Judge, fetch_json, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.gateway_auth import GatewayAuth
    from spindle_spi.types import JsonObject

_KEPT_SECONDS: Final = 3600.0
_RESOURCE: Final = "/.well-known/oauth-protected-resource"
_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"
_METADATA = re.compile(r'resource_metadata="([^"\s]{1,2000})"')


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
    scopes: tuple[str, ...] = ()
    """Those of the resource."""


class Discovery:
    """The server of one upstream, read once an hour."""

    def __init__(
        self,
        url: str,
        auth: GatewayAuth,
        judge: Judge,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._auth = auth
        self._judge = judge
        self._clock = clock
        self._known: tuple[float, Server] | None = None
        self._turn = anyio.Lock()

    async def server(self) -> Server:
        """Return it.

        Raises:
            ServerFailed: It cannot be found.
        """
        async with self._turn:
            now = self._clock()

            if self._known is None or self._known[0] + _KEPT_SECONDS <= now:
                self._known = (now, await self._find())

            return self._known[1]

    async def _find(self) -> Server:
        auth = self._auth

        if auth.token_url is not None:
            return Server(
                token_url=auth.token_url,
                issuer=auth.issuer,
                authorization_url=auth.authorization_url,
            )

        if auth.issuer is not None:
            return await self._read_server(auth.issuer, ())

        resource = await self._read_resource()
        servers, scopes = resource.get("authorization_servers"), resource.get("scopes_supported")
        issuer = servers[0] if isinstance(servers, list) and servers else None

        if not isinstance(issuer, str):
            raise ServerFailed("the upstream's metadata names none")

        words = scopes if isinstance(scopes, list) else []
        return await self._read_server(issuer, tuple(w for w in words if isinstance(w, str)))

    async def _read_resource(self) -> JsonObject:
        """Return the metadata of the upstream: where it says itself, else where they belong."""
        parts = urlsplit(self._url)
        origin = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.rstrip("/")
        named = await self._named_by_challenge()
        places = [named] if named else [f"{origin}{_RESOURCE}{path}", f"{origin}{_RESOURCE}"]

        for place in dict.fromkeys(places):
            found = await fetch_json(self._judge, place)

            if found is not None:
                if not _covers(found.get("resource"), self._url):
                    raise ServerFailed("the upstream's metadata is of another resource")

                return found

        raise ServerFailed("the upstream has no metadata that name it; set auth.issuer")

    async def _named_by_challenge(self) -> str | None:
        request = httpx2.Request("GET", self._url, headers={"accept": "application/json"})

        try:
            response = await send(self._judge, request)
        except ServerFailed:
            # It need not answer that: there are places where its metadata are by convention.
            return None

        challenges = response.headers.get_list("www-authenticate")
        found = [match[1] for said in challenges if (match := _METADATA.search(said))]
        return found[0] if response.status_code == 401 and found else None

    async def _read_server(self, issuer: str, scopes: tuple[str, ...]) -> Server:
        for place in _places(issuer):
            found = await fetch_json(self._judge, place)

            if found is not None:
                return _server(found, issuer, scopes)

        raise ServerFailed("it has no metadata; set auth.token_url")


def _places(issuer: str) -> tuple[str, ...]:
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = (f"{origin}{_OAUTH}{path}", f"{origin}{_OPENID}{path}", f"{origin}{path}{_OPENID}")
    return tuple(dict.fromkeys(places))


def _server(found: JsonObject, issuer: str, scopes: tuple[str, ...]) -> Server:
    # Compared as text and nothing else: who answers in another's name is nobody.
    if found.get("issuer") != issuer:
        raise ServerFailed("its metadata name another issuer")

    token_url = _url(found, "token_endpoint")

    if token_url is None:
        raise ServerFailed("its metadata name no token endpoint")

    challenges = found.get("code_challenge_methods_supported")
    return Server(
        token_url=token_url,
        issuer=issuer,
        authorization_url=_url(found, "authorization_endpoint"),
        registration_url=_url(found, "registration_endpoint"),
        revocation_url=_url(found, "revocation_endpoint"),
        names_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        takes_metadata=found.get("client_id_metadata_document_supported") is True,
        has_s256=isinstance(challenges, list) and "S256" in challenges,
        scopes=scopes,
    )


def _url(document: JsonObject, name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def _covers(resource: object, url: str) -> bool:
    """Tell whether a resource is the upstream, or what it is under."""
    if not isinstance(resource, str):
        return False

    one, other = urlsplit(resource), urlsplit(url)

    if (one.scheme, one.netloc.lower()) != (other.scheme, other.netloc.lower()):
        return False

    return f"{other.path.rstrip('/')}/".startswith(f"{one.path.rstrip('/')}/")
