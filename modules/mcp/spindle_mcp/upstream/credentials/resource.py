"""What an upstream says of itself as a protected resource (RFC 9728), asked without a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_PROTOCOL_VERSION_HEADER
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)

from spindle_mcp.eras import MODERN
from spindle_mcp.text import encode
from spindle_mcp.upstream.credentials.challenge import UNAUTHORIZED, Refusal, refusal_in, scopes_in
from spindle_mcp.upstream.credentials.faults import ServerFailed
from spindle_mcp.upstream.credentials.transport import Judge, fetch_json, send

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
_QUESTION: Final = "server/discover"
"""Answered by who does not know it with a refusal, and never with anything done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """The upstream, in its own words."""

    name: str
    """Its identifier, to the letter: tokens are asked for by it."""
    servers: tuple[str, ...]
    scopes: tuple[str, ...]
    """What its challenge asks for; else all it says there are."""


async def read_resource(judge: Judge, url: str, knock: httpx2.Request) -> Resource | None:
    """Return what an upstream says of itself: where it points to, else where that belongs.

    Raises:
        ServerFailed: It says that of another resource, or says nothing readable.
    """
    parts = urlsplit(url)
    place = f"{origin_of(url)}{_WELL_KNOWN}"
    challenge = await _challenge(judge, knock)
    places = (challenge.metadata, f"{place}{parts.path.rstrip('/')}", place)

    for each in dict.fromkeys(filter(None, places)):
        found = await fetch_json(judge, each)

        if found is not None:
            return _resource(found, url, challenge)

    return None


def posted_knock(url: str, client: JsonObject) -> httpx2.Request:
    """Return a request of the protocol, as a client's first one is."""
    meta: JsonObject = {
        PROTOCOL_VERSION_META_KEY: MODERN,
        CLIENT_INFO_META_KEY: client,
        CLIENT_CAPABILITIES_META_KEY: {},
    }
    params: JsonObject = {"_meta": meta}
    body: JsonObject = {"jsonrpc": "2.0", "id": 1, "method": _QUESTION, "params": params}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        MCP_PROTOCOL_VERSION_HEADER: MODERN,
        MCP_METHOD_HEADER: _QUESTION,
    }
    return httpx2.Request("POST", url, headers=headers, content=encode(body))


def streamed_knock(url: str) -> httpx2.Request:
    """Return the first request of a client of the transport of 2024-11-05."""
    return httpx2.Request("GET", url, headers={"accept": "text/event-stream"})


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def _challenge(judge: Judge, knock: httpx2.Request) -> Refusal:
    try:
        response = await send(judge, knock)
    except ServerFailed:
        # It need not answer that: there are places where its metadata are by convention.
        return Refusal(status=0)

    refusal = refusal_in(response.status_code, response.headers.get_list("www-authenticate"))
    return refusal if refusal.status == UNAUTHORIZED else Refusal(status=refusal.status)


def _resource(found: JsonObject, url: str, challenge: Refusal) -> Resource:
    name, servers = found.get("resource"), found.get("authorization_servers")

    if not isinstance(name, str) or not _covers(name, url):
        raise ServerFailed("the upstream's metadata is of another resource")

    named: list[Json] = servers if isinstance(servers, list) else []
    return Resource(
        name=name,
        servers=tuple(server for server in named if isinstance(server, str)),
        scopes=challenge.scopes or scopes_in(found.get("scopes_supported")),
    )


def _covers(resource: str, url: str) -> bool:
    """Tell whether a resource is the upstream, or what it is under."""
    one, other = urlsplit(resource), urlsplit(url)

    if (one.scheme, one.netloc.lower()) != (other.scheme, other.netloc.lower()):
        return False

    return f"{other.path.rstrip('/')}/".startswith(f"{one.path.rstrip('/')}/")
