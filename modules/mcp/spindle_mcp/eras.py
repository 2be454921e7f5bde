"""The protocol's two eras, and what a tool and a result may look like on each wire.

Modern: 2026-07-28, every request carries its own envelope. Legacy: the `initialize` handshake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_types import SERVER_INFO_META_KEY
from mcp_types.methods import serialize_server_result
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic import ValidationError

from spindle_mcp.offers import TOOLS
from spindle_spi.errors import Internal, UpstreamError
from spindle_spi.invocation import InputRequired

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.offers import Offer
    from spindle_spi.types import Json, JsonObject

MODERN: Final = LATEST_MODERN_VERSION
LEGACY: Final = LATEST_HANDSHAKE_VERSION

_CONTENT_TYPES: Final = frozenset({"text", "image", "audio", "resource", "resource_link"})


def fits(version: str, definition: Mapping[str, Json], offer: Offer = TOOLS) -> JsonObject | None:
    """Return a tool, or whatever is offered, as that version of the protocol writes it.

    None when it cannot be said there: one thing the wire cannot carry would make the whole list
    unreadable, so each is tried alone.
    """
    listed: JsonObject = {offer.key: [dict(definition)]}

    if version == MODERN:
        listed |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}

    try:
        written = serialize_server_result(offer.method, version, listed)
    except (ValidationError, RecursionError):
        return None

    items: Json = written.get(offer.key)
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, dict) else None


def tool_result(payload: JsonObject, gateway: str) -> JsonObject:
    """Return an upstream's answer to `tools/call` as a neutral payload.

    Raises:
        UpstreamError: It is no tool result, or holds content of an unknown type.
    """
    content = payload.get("content", [] if "structuredContent" in payload else None)

    if not isinstance(content, list):
        raise _no_result(gateway)

    for part in content:
        if not isinstance(part, dict) or part.get("type") not in _CONTENT_TYPES:
            raise _no_result(gateway)

    result: JsonObject = {"content": content}

    for name in ("structuredContent", "isError"):
        if name in payload:
            result[name] = payload[name]

    meta = payload.get("_meta")

    if isinstance(meta, dict):
        # Who served the upstream's answer is not who serves ours.
        kept = {name: value for name, value in meta.items() if name != SERVER_INFO_META_KEY}

        if kept:
            result["_meta"] = kept

    return result


def for_wire(version: str, result: JsonObject | InputRequired) -> JsonObject:
    """Return a neutral tool result as one version of the protocol can carry it.

    Raises:
        UpstreamError: It asks for input, and this version has no such result.
    """
    if isinstance(result, InputRequired):
        return _asking(version, result)

    if version == MODERN:
        return {**result, "resultType": "complete"}

    structured = result.get("structuredContent")

    if structured is None or isinstance(structured, dict):
        return result

    # Before 2026 structured content is an object; the content parts say the same.
    return {name: value for name, value in result.items() if name != "structuredContent"}


def _asking(version: str, asked: InputRequired) -> JsonObject:
    if version != MODERN:
        raise UpstreamError(
            "The upstream asks for input that this client cannot give.",
            code="mcp.input_required",
            retryable=False,
        )

    written: JsonObject = {"resultType": "input_required"}

    if asked.requests:
        written["inputRequests"] = asked.requests

    if asked.state is not None:
        written["requestState"] = asked.state

    return written


def written(version: str, result: JsonObject, method: str = "tools/call") -> JsonObject:
    """Return a method's result as the SDK would write it, for the path that goes round the SDK.

    Raises:
        Internal: The result cannot be said in this version.
    """
    try:
        return serialize_server_result(method, version, result)
    except ValidationError as exc:
        raise Internal("The result cannot be written in this version of the protocol.") from exc


def _no_result(gateway: str) -> UpstreamError:
    return UpstreamError(
        f"The gateway {gateway!r} answered with something that is no tool result.",
        code="mcp.upstream.invalid_result",
        retryable=False,
    )
