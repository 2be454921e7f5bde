"""Where an API is. A document from the network does not choose where a credential goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from spindle_mcp.upstream.openapi.options import origin_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\?#]")


def base_url(said: str | None, document: JsonObject, document_url: str | None) -> str:
    """Return the address that paths are added to, without a slash at its end.

    What the record says wins. Else it is the first server of the document, which has to be where
    the document came from, if that came from a URL.

    Raises:
        ValueError: There is none that may be used; says why.
    """
    url = said

    if url is None:
        url = _server_url(document.get("servers"), document_url)

        if url is None and document_url is not None:
            url = urljoin(document_url, "/")

    if url is None:
        raise ValueError("names no server, and the gateway has no url")

    if document_url is not None and said is None and origin_of(url) != origin_of(document_url):
        raise ValueError("names a server on another host: set the gateway's url to use it")

    return checked(url)


def server_of(holder: JsonObject, base: str) -> str:
    """Return the address for one path or operation, which may name a server of its own.

    Raises:
        ValueError: It is on another host.
    """
    url = _server_url(holder.get("servers"), f"{base}/")

    if url is None:
        return base

    if origin_of(url) != origin_of(base):
        raise ValueError("it is served by another host")

    return checked(url)


def has_dots(path: str) -> bool:
    """Tell whether a path has a part that leads elsewhere, however it is written."""
    parts = re.split(r"[/\\]", unquote(path))
    return any(part.partition(";")[0] in (".", "..") for part in parts)


def checked(url: str) -> str:
    """Return an http(s) URL of nothing but host and path.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(url)

    if _AMBIGUOUS.search(url) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("names a server that is no http(s) URL")

    if not url.isascii() or parts.username is not None or has_dots(parts.path):
        raise ValueError("names a server that is no plain http(s) URL")

    return url.rstrip("/")


def _server_url(servers: Json, relative_to: str | None) -> str | None:
    first = servers[0] if isinstance(servers, list) and servers else None
    url = first.get("url") if isinstance(first, dict) else None

    if not isinstance(first, dict) or not isinstance(url, str):
        return None

    variables = first.get("variables")
    known = variables if isinstance(variables, dict) else {}

    def default(found: re.Match[str]) -> str:
        variable = known.get(found[1])
        value = variable.get("default") if isinstance(variable, dict) else None
        return value if isinstance(value, str) else ""

    plain = _VARIABLE.sub(default, url)

    if relative_to is None:
        # A relative address says nothing without a place it starts from.
        return plain if "://" in plain else None

    return urljoin(relative_to, plain)
