"""Answers of plain HTTP: JSON, a page of a sentence, a redirect."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from spindle_mcp.text import encode
from spindle_spi.errors import NotFound

if TYPE_CHECKING:
    from spindle_spi.config_secrets import Deployment
    from spindle_spi.types import Json, Scope, Send

_SAFE = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


async def send_json(send: Send, value: Json, status: int = 200) -> None:
    """Send JSON."""
    await _send(send, status, b"application/json", encode(value))


async def send_page(send: Send, sentence: str) -> None:
    """Send a page for a person, with one sentence on it."""
    said = html.escape(sentence)
    body = f"<!doctype html><meta charset=utf-8><title>Spindle</title><p>{said}</p>\n"
    await _send(send, 200, b"text/html; charset=utf-8", body.encode())


async def send_nothing(send: Send, status: int = 204, *, location: str | None = None) -> None:
    """Send a status alone, or where to go."""
    headers = [*_SAFE]

    if location is not None:
        headers += [(b"location", location.encode("ascii")), (b"content-length", b"0")]

    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def base_of(scope: Scope, deployment: Deployment) -> str:
    """Return what stands before our paths: as the operator says, else as the client came."""
    if deployment.public_url is not None:
        return deployment.public_url

    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}"


def nothing_at(scope: Scope) -> NotFound:
    """Return the answer of a path that leads nowhere."""
    return NotFound(f"There is nothing at {scope['path']}.", code="core.path_unknown")


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        *_SAFE,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
