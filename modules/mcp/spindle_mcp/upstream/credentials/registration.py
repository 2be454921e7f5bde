"""What an authorization server knows us by: a client it was told of, our document, or a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2

from spindle_mcp.text import encode
from spindle_mcp.upstream.credentials.client import Client
from spindle_mcp.upstream.credentials.faults import ServerFailed
from spindle_mcp.upstream.credentials.names import CALLBACK, DOCUMENT
from spindle_mcp.upstream.credentials.transport import LOOPBACK, json_object, send
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_mcp.upstream.credentials.discovery import Server
    from spindle_mcp.upstream.credentials.machine import OAuth
    from spindle_spi.types import Json, JsonObject

_METHODS: Final = ("none", "client_secret_basic", "client_secret_post")


class Registration:
    """The client of one gateway; what was registered serves as long as this process lives."""

    def __init__(self, oauth: OAuth) -> None:
        self._oauth = oauth
        self._registered: dict[tuple[str | None, str], Client] = {}

    async def client(self, server: Server, public_url: str) -> tuple[Client, bool]:
        """Return the client, and whether it is the configured one.

        Raises:
            ServerFailed: The server knows us by nothing.
        """
        auth = self._oauth.auth

        if auth.client_id is not None and auth.document is None:
            return await self._oauth.client(server), True

        ours = f"{public_url}{DOCUMENT}" if auth.client_metadata else None
        document = auth.document or ours

        if document is not None and server.takes_metadata:
            return Client(id=document), False

        if not auth.dynamic_registration or server.registration_url is None:
            raise ServerFailed("it knows us by nothing: set auth.client_id")

        # What one issuer knows us by is shown to no other, whatever its metadata name.
        key = (server.issuer, server.registration_url)

        if key not in self._registered:
            client = await self._register(server, server.registration_url, public_url)
            self._registered = {key: client}

        return self._registered[key], False

    def forget(self, client_id: str | None) -> None:
        """Register anew the next time: a server does not know a client of ours any more."""
        known = self._registered.items()
        self._registered = {key: client for key, client in known if client.id != client_id}

    async def _register(self, server: Server, url: str, public_url: str) -> Client:
        method = _method_for(server)
        wanted: JsonObject = {"token_endpoint_auth_method": method}
        request = httpx2.Request(
            "POST",
            url,
            headers={"content-type": "application/json", "accept": "application/json"},
            content=encode({**client_metadata(public_url), **wanted}),
        )
        response = await send(self._oauth.judge, request)

        if response.status_code not in (200, 201):
            raise ServerFailed("it registered no client for us")

        answer = json_object(response.content)
        client_id, secret = answer.get("client_id"), answer.get("client_secret")
        usual = "none" if secret is None else "client_secret_basic"
        given = answer.get("token_endpoint_auth_method", usual)

        if not isinstance(client_id, str) or not client_id or given not in _METHODS:
            raise ServerFailed("it registered no client we could be")

        if not isinstance(secret, str):
            return Client(id=client_id)

        client = Client(id=client_id, method=str(given), secret=Secret(secret))
        return client.as_taken(server.methods)


def client_metadata(public_url: str) -> JsonObject:
    """Return what we say of ourselves as a client."""
    redirects: list[Json] = [f"{public_url}{CALLBACK}"]
    return {
        "client_name": "Spindle",
        "application_type": "native" if _is_loopback(public_url) else "web",
        "client_uri": public_url,
        "redirect_uris": redirects,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def _method_for(server: Server) -> str:
    """Return how we would prove ourselves: by nothing that has to be kept, where that is taken."""
    return next((method for method in _METHODS if method in server.methods), _METHODS[0])


def _is_loopback(url: str) -> bool:
    # OpenID's registration has `web` only for https addresses that are not this machine's.
    return urlsplit(url).hostname in LOOPBACK
