"""Asks a gateway whether an endpoint is there, for the client it is about to be told to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx2

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_SECONDS: Final = 5.0
_MAX_BYTES: Final = 1_000_000
_VERSION: Final = "2026-07-28"
_ASK: Final[JsonObject] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "server/discover",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": _VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
_HEADERS: Final = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": _VERSION,
    "mcp-method": "server/discover",
}


class Answer(Enum):
    """What an endpoint said to somebody with this token, or without one."""

    HERE = "here"
    ABSENT = "absent"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    SILENT = "silent"
    """Nobody answered."""
    STRANGE = "strange"
    """Somebody answered, and not as an MCP endpoint does."""


_BY_STATUS: Final = {
    200: Answer.HERE,
    401: Answer.UNAUTHENTICATED,
    403: Answer.FORBIDDEN,
    404: Answer.ABSENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of an endpoint."""

    answer: Answer
    has_oauth: bool = False
    """It answers OAuth discovery (RFC 9728)."""


def ask(endpoint: str, token: str | None) -> Found:
    """Ask an endpoint for its capabilities, and for its authorization servers."""
    headers = {**_HEADERS, **({} if token is None else {"authorization": f"Bearer {token}"})}

    try:
        with httpx2.Client(timeout=_SECONDS, trust_env=False) as client:
            status, said = _exchange(client, "POST", endpoint, json=_ASK, headers=headers)
            _, discovery = _exchange(client, "GET", _discovery_of(endpoint))
    except httpx2.HTTPError:
        return Found(answer=Answer.SILENT)

    # A page of somebody else's may have any status; an endpoint's refusals are JSON-RPC, too.
    is_endpoint = _is_object_with("jsonrpc", said)
    answer = _BY_STATUS.get(status, Answer.STRANGE) if is_endpoint else Answer.STRANGE
    return Found(answer=answer, has_oauth=_is_object_with("resource", discovery))


def _exchange(client: httpx2.Client, method: str, url: str, **rest: Any) -> tuple[int, bytes]:
    """Return status and body, of which no more than is worth reading."""
    body = b""

    with client.stream(method, url, **rest) as answered:
        for part in answered.iter_bytes():
            body += part

            if len(body) > _MAX_BYTES:
                break

    return answered.status_code, body


def _is_object_with(key: str, body: bytes) -> bool:
    try:
        said: object = json.loads(body)
    except ValueError:
        return False

    return isinstance(said, dict) and key in said


def _discovery_of(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    path = f"/.well-known/oauth-protected-resource{parts.path}"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
