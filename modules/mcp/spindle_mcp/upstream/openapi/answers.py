"""What an API answered, as the result of a tool. What a model can mend is told to the model."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from spindle_mcp.text import decode, encode
from spindle_mcp.upstream.faults import refused_by_status
from spindle_mcp.upstream.openapi.bodies import is_json
from spindle_mcp.upstream.openapi.redaction import redacted
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_mcp.upstream.openapi.client import RestResponse
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_EXCERPT: Final = 2_000
"""Characters of a refusal that are passed on."""
_TEXTS: Final = frozenset(
    {"application/xml", "application/yaml", "application/javascript", "application/graphql"}
)


def tool_answer(
    gateway: str, operation: str, response: RestResponse, credential: Secret | None
) -> JsonObject:
    """Return an answer as the result of a tool.

    Raises:
        RateLimited: The API asks to slow down.
        UpstreamError: It did not take the gateway's credential.
    """
    if response.status in (401, 403) and credential is None:
        raise UpstreamError(
            f"The gateway {gateway!r} wants a credential, and none is configured for it.",
            code="mcp.upstream.credential_missing",
            retryable=False,
        )

    if response.status in (401, 403, 429):
        raise refused_by_status(gateway, response.status, response.retry_after)

    body = redacted(response.body, credential, is_refusal=not response.is_success)

    if not response.is_success:
        return _refusal(response, body)

    if not body:
        return _text(f"The API answered {_status(response.status)}, without content.")

    return _success(f"openapi://{gateway}/{operation}", response, body)


def unkept(result: JsonObject, status: int, fault: str) -> JsonObject:
    """Return the result for a success whose answer is not what the document promises.

    Clients refuse a result that breaks its schema, and would not show what was done.
    """
    content = result.get("content")
    note = (
        f"The API did what it was asked and answered {_status(status)}, but the answer is not what "
        f"its document says ({fault}). It is:"
    )
    parts: list[Json] = [{"type": "text", "text": note}]
    return {"content": parts + (content if isinstance(content, list) else []), "isError": True}


def _success(uri: str, response: RestResponse, body: bytes) -> JsonObject:
    kind = response.content_type

    if is_json(kind) or not kind:
        try:
            value = decode(body)
        except ValueError:
            return _text(_decoded(body, response.charset))

        return _structured(value)

    family = kind.partition("/")[0]

    if family in ("image", "audio") and not kind.endswith("+xml"):
        data = base64.b64encode(body).decode()
        return {"content": [{"type": family, "data": data, "mimeType": kind}]}

    if family == "text" or kind in _TEXTS or kind.endswith(("+xml", "+yaml")):
        return _text(_decoded(body, response.charset))

    blob = base64.b64encode(body).decode()
    resource: JsonObject = {"uri": uri, "mimeType": kind, "blob": blob}
    return {"content": [{"type": "resource", "resource": resource}]}


def _structured(value: Json) -> JsonObject:
    try:
        text = encode(value).decode() if not isinstance(value, str) else value
    except ValueError:
        # A number beyond what JSON's readers have room for.
        return _text(str(value))

    result = _text(text)

    if value is not None:
        result["structuredContent"] = value

    return result


def _refusal(response: RestResponse, body: bytes) -> JsonObject:
    said = f"The API answered {_status(response.status)}."

    if 300 <= response.status < 400:
        said = f"{said} Redirects are not followed."

    is_text = response.content_type.partition("/")[0] not in ("image", "audio", "video")
    excerpt = _decoded(body, response.charset).strip() if is_text else ""

    if len(excerpt) > _EXCERPT:
        excerpt = f"{excerpt[:_EXCERPT]}…"

    return {**_text(f"{said}\n{excerpt}" if excerpt else said), "isError": True}


def _text(text: str) -> JsonObject:
    return {"content": [{"type": "text", "text": text}]}


def _decoded(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)
