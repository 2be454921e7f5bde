"""Plain requests recognised without the SDK's machinery, but by its own rules.

Whatever is not beyond doubt is left to the SDK, which then decides and words the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import pydantic_core
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundModernRoute,
    classify_inbound_request,
)
from mcp_types import CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY, ClientCapabilities
from mcp_types.methods import validate_client_request
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request

from spindle_mcp.eras import MODERN
from spindle_mcp.offers import BY_METHOD, Offer
from spindle_mcp.results import GET, READ
from spindle_mcp.text import decode, encode
from spindle_mcp.trace import TRACE_KEYS, relayed_meta, traceparent_in
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_spi.types import Message, Receive, Scope

VERSION_HEADER: Final = MCP_PROTOCOL_VERSION_HEADER.encode()
_METHOD: Final = MCP_METHOD_HEADER.encode()
_NAME: Final = MCP_NAME_HEADER.encode()
_SESSION: Final = b"mcp-session-id"
_LOOKED_AT: Final = frozenset(
    {VERSION_HEADER, _METHOD, _NAME, _SESSION, b"accept", b"content-type"}
)
CALL: Final = "tools/call"
_METHODS: Final = frozenset(method.encode() for method in (CALL, READ, GET, *BY_METHOD))
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})
_NEEDED: Final = _MEMBERS - {"params"}
_NAMED: Final = frozenset({"name", "arguments", "_meta"})
_ADDRESSED: Final = frozenset({"uri", "_meta"})
_SESSION_META: Final = frozenset({"progressToken", *TRACE_KEYS})
_OLDER: Final = frozenset(version.encode() for version in HANDSHAKE_PROTOCOL_VERSIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a request of the current protocol says of its client."""

    capabilities: JsonObject = field(default_factory=dict[str, Json])
    log_level: str | None = None
    meta: JsonObject = field(default_factory=dict[str, Json])
    """What of `_meta` goes on to upstreams."""


_NO_ENVELOPE: Final = Envelope()


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A `tools/call`, `prompts/get` or `resources/read` that is beyond doubt."""

    id: str | int
    method: str
    name: str
    """A resource's is its URI."""
    arguments: JsonObject
    token: str | int | None
    """The client's token for progress."""
    envelope: Envelope = _NO_ENVELOPE
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class PlainList:
    """The first page of a list, asked for beyond doubt."""

    id: str | int
    offer: Offer


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of a POST that may be plain."""

    values: dict[bytes, bytes]

    @property
    def session_id(self) -> bytes | None:
        """The session it belongs to; None in the current protocol."""
        return (
            None if self.values.get(VERSION_HEADER) == MODERN_HEADER else self.values.get(_SESSION)
        )


MODERN_HEADER: Final = MODERN.encode()


def read_head(scope: Scope) -> Head | None:
    """Return what the headers say, if they could be those of a plain request."""
    values: dict[bytes, bytes] = {}

    for name, value in scope["headers"]:
        if name in _LOOKED_AT:
            if name in values:
                return None

            values[name] = value

    version = values.get(VERSION_HEADER)

    if version == MODERN_HEADER:
        if values.get(_METHOD) not in _METHODS:
            return None
    elif _SESSION not in values or (version is not None and version not in _OLDER):
        return None

    is_json = values.get(b"content-type", b"")[:16].lower() == b"application/json"
    return Head(values) if is_json and _accepts_both(values.get(b"accept", b"")) else None


async def read_body(receive: Receive) -> bytes | None:
    """Return the request's body; None when the client left before its end."""
    chunks: list[bytes] = []

    while True:
        message = await receive()

        if message["type"] != "http.request":
            return None

        chunks.append(message.get("body", b""))

        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def replaying(body: bytes | None, receive: Receive) -> Receive:
    """Return the `receive` of a request whose body was read; None: its client left before that."""
    first: Message | None = {"type": "http.disconnect"}

    if body is not None:
        first = {"type": "http.request", "body": body, "more_body": False}

    waiting: list[Any] = [first]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def read_request(head: Head, body: bytes) -> PlainCall | PlainList | None:
    """Return the request a body holds, if it is a plain one."""
    try:
        # Each era's reader in the SDK has its own idea of what is JSON.
        message: Json = (
            decode(body)
            if head.session_id is None
            else pydantic_core.from_json(body, allow_inf_nan=False)
        )
    except ValueError:
        return None

    if not isinstance(message, dict) or not _MEMBERS >= message.keys() >= _NEEDED:
        return None

    return _plain(head, message)


def read_reply(body: bytes) -> JsonObject | None:
    """Return the JSON-RPC response a body holds, if it holds one."""
    try:
        message: Json = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError:
        return None

    if not isinstance(message, dict) or "method" in message or message.get("jsonrpc") != "2.0":
        return None

    return message if ("result" in message) != ("error" in message) else None


def _plain(head: Head, message: JsonObject) -> PlainCall | PlainList | None:
    identity, params = message["id"], message.get("params", {})

    if message["jsonrpc"] != "2.0" or not isinstance(params, dict):
        return None

    if not isinstance(identity, str | int) or isinstance(identity, bool):
        return None

    meta = params.get("_meta", {})
    envelope = _envelope_of(head, message, meta) if isinstance(meta, dict) else None

    if not isinstance(meta, dict) or envelope is None:
        return None

    method = message["method"]
    offer = BY_METHOD.get(method) if isinstance(method, str) else None

    if offer is not None:
        return PlainList(identity, offer) if params.keys() <= {"_meta"} else None

    return _plain_call(identity, method, params, envelope)


def _plain_call(
    identity: str | int, method: Json, params: JsonObject, envelope: Envelope
) -> PlainCall | None:
    known, name = _NAMED, params.get("name")
    said = params.get("_meta")
    meta = said if isinstance(said, dict) else {}

    if method == READ:
        known, name = _ADDRESSED, params.get("uri")
    elif method not in (CALL, GET):
        return None

    arguments, token = params.get("arguments", {}), meta.get("progressToken")

    if not params.keys() <= known or not isinstance(name, str):
        return None

    if not isinstance(arguments, dict) or not isinstance(token, str | int | None):
        return None

    if method == GET and not all(isinstance(value, str) for value in arguments.values()):
        return None

    return PlainCall(
        id=identity,
        method=str(method),
        name=name,
        arguments=arguments,
        token=token,
        envelope=envelope,
        traceparent=traceparent_in(meta),
    )


def _envelope_of(head: Head, message: JsonObject, meta: JsonObject) -> Envelope | None:
    """Return what `_meta` says, if the SDK takes it."""
    token = meta.get("progressToken", 0)

    if not isinstance(token, str | int) or isinstance(token, bool):
        return None

    if any(not isinstance(meta.get(key, ""), str) for key in TRACE_KEYS):
        return None

    if head.session_id is not None:
        return _NO_ENVELOPE if meta.keys() <= _SESSION_META else None

    name = head.values.get(_NAME)
    headers = {
        MCP_PROTOCOL_VERSION_HEADER: MODERN,
        MCP_METHOD_HEADER: head.values[_METHOD].decode("latin-1"),
        **({} if name is None else {MCP_NAME_HEADER: name.decode("latin-1")}),
    }

    if not isinstance(classify_inbound_request(message, headers=headers), InboundModernRoute):
        return None

    # What differs from call to call is left out, or the check below would never be a look-up.
    rest: JsonObject = {key: value for key, value in meta.items() if key not in _SESSION_META}
    return _envelope(encode(rest))


@lru_cache(maxsize=256)
def _envelope(encoded: bytes) -> Envelope | None:
    """Return an envelope if the SDK takes it; clients send the same one every time."""
    meta = decode(encoded)

    try:
        validate_client_request("tools/list", MODERN, {"_meta": meta})
        said = meta if isinstance(meta, dict) else {}
        declared = ClientCapabilities.model_validate(said.get(CLIENT_CAPABILITIES_META_KEY))
    except ValidationError:
        return None

    level = said.get(LOG_LEVEL_META_KEY)
    return Envelope(
        capabilities=declared.model_dump(by_alias=True, exclude_none=True),
        log_level=level if isinstance(level, str) else None,
        meta=relayed_meta(said),
    )


@lru_cache(maxsize=256)
def _accepts_both(accept: bytes) -> bool:
    return all(check_accept_headers(Request({"type": "http", "headers": [(b"accept", accept)]})))
